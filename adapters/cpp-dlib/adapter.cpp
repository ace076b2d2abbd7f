// dlib's tensor_conv on the CPU, called as its layers con_ and cont_ do.
#include "conformance.hpp"

#include <dlib/cuda/tensor_tools.h>
#include <dlib/revision.h>

using namespace conformance;

namespace {

dlib::resizable_tensor taken(const Tensor& tensor, const Shape& shape) {
    dlib::resizable_tensor result;
    result.set_size(shape[0], shape[1], shape[2], shape[3]);
    std::copy_n(tensor.data<float>(), tensor.size(), result.host_write_only());
    return result;
}
dlib::resizable_tensor taken(const Tensor& tensor) { return taken(tensor, tensor.shape); }
dlib::resizable_tensor taken_bias(const Tensor& b) { return taken(b, {1, b.shape[0], 1, 1}); }

dlib::resizable_tensor sized(const Shape& shape) {
    dlib::resizable_tensor result;
    result.set_size(shape[0], shape[1], shape[2], shape[3]);
    return result;
}

Tensor given(const dlib::tensor& tensor) {
    Tensor result(Dtype::float32, {tensor.num_samples(), tensor.k(), tensor.nr(), tensor.nc()});
    std::copy_n(tensor.host(), tensor.size(), result.data<float>());
    return result;
}
Tensor given_bias(const dlib::tensor& tensor) {
    Tensor result = given(tensor);
    result.shape = {tensor.k()};
    return result;
}

void set_up(dlib::tt::tensor_conv& conv, const Geometry& g, const dlib::tensor& data, const dlib::tensor& filters) {
    const auto whole = [](std::int64_t n) { return static_cast<int>(n); };
    conv.setup(data, filters, whole(g.stride[0]), whole(g.stride[1]), whole(g.padding[0].begin), whole(g.padding[1].begin));
}

// What the documentation requires of the operands, with the gradient by y or without, with biases or without.  dlib asserts
// some of it, and ends the process when a second assertion fails; the gradients assert nothing, and write beyond their
// memory.  In a network of dlib's, layers make a mismatch impossible.
void require(const Geometry& g, const dlib::tensor& data, const dlib::tensor& filters, const Tensor* biases, const dlib::tensor* gradient,
             long of_biases) {
    const auto output = [&](std::size_t k, long long size, long long kernel) {
        return 1 + (size + 2 * g.padding[k].begin - kernel) / g.stride[k];
    };
    if (filters.k() != data.k()) throw std::invalid_argument("filters.k() == data.k() does not hold");
    if (biases && biases->shape[0] != of_biases) throw std::invalid_argument("biases.k() is not the number of maps");
    if (gradient && (gradient->num_samples() != data.num_samples() || gradient->k() != filters.num_samples() ||
                     gradient->nr() != output(0, data.nr(), filters.nr()) || gradient->nc() != output(1, data.nc(), filters.nc())))
        throw std::invalid_argument("gradient_input has not the dimensions that setup() gives");
}

std::optional<Tensor> bias_gradient(const Tensor* b, const dlib::tensor& delta) {
    if (!b) return std::nullopt;
    auto db = sized({1, b->shape[0], 1, 1});
    dlib::tt::assign_conv_bias_gradient(db, delta);
    return given_bias(db);
}

struct Dlib : Adapter {
    std::string name() const override { return "cpp-dlib"; }

    std::vector<std::pair<std::string, std::string>> routes() const override {
        return {{"checked", "what dlib's documentation requires of the operands is checked before the call"},
                {"unchecked", "operands reach dlib as they are: those of wrong shapes end the process, or corrupt its memory"}};
    }

    std::map<std::string, std::string> versions() const override {
        return {{"dlib", std::to_string(DLIB_MAJOR_VERSION) + "." + std::to_string(DLIB_MINOR_VERSION)}};
    }

    Capabilities capabilities() const override {
        Capabilities can;
        can.ranks = {2};
        can.dtypes = {Dtype::float32};
        can.stride = true;
        can.padding = "symmetric";
        can.operations = {"transposed"};
        for (const auto& quantity : can.quantities) can.arithmetic[Dtype::float32][quantity] = Arithmetic{};
        return can;
    }

    std::optional<std::string> unsupported(const Geometry& g, Dtype) const override {
        for (std::size_t k = 0; k < g.rank(); ++k)
            if (g.padding[k].begin >= g.kernel[k]) return "padding must be smaller than the kernel";
        return std::nullopt;
    }

    Tensor forward(const Geometry& g, const Tensor& x, const Tensor& w, const Tensor* b) override {
        const auto data = taken(x), filters = taken(w);
        dlib::tt::tensor_conv conv;
        dlib::resizable_tensor y;
        set_up(conv, g, data, filters);
        if (checks()) require(g, data, filters, b, nullptr, filters.num_samples());
        if (b) conv(false, y, data, filters, taken_bias(*b));
        else conv(false, y, data, filters);
        return given(y);
    }

    Gradients backward(const Geometry& g, const Tensor& x, const Tensor& w, const Tensor* b, const Tensor& delta) override {
        const auto data = taken(x), filters = taken(w), error = taken(delta);
        auto dx = sized(x.shape), dw = sized(w.shape);
        dlib::tt::tensor_conv conv;
        set_up(conv, g, data, filters);
        if (checks()) require(g, data, filters, b, &error, filters.num_samples());
        conv.get_gradient_for_data(false, error, filters, dx);
        conv.get_gradient_for_filters(false, error, data, dw);
        return {given(dx), given(dw), bias_gradient(b, error)};
    }

    // The transposed convolution is the gradient for data, and its gradients are forward and the gradient for filters.
    Tensor transposed(const Geometry& g, const Tensor& x, const Tensor& w, const Tensor* b) override {
        const auto data = taken(x), filters = taken(w);
        auto y = sized({x.shape[0], w.shape[1], g.size[0], g.size[1]});
        dlib::tt::tensor_conv conv;
        set_up(conv, g, y, filters);
        if (checks()) require(g, y, filters, b, &data, filters.k());
        conv.get_gradient_for_data(false, data, filters, y);
        if (b) dlib::tt::add(1, y, 1, taken_bias(*b));
        return given(y);
    }

    Gradients transposed_backward(const Geometry& g, const Tensor& x, const Tensor& w, const Tensor* b, const Tensor& delta) override {
        const auto data = taken(x), filters = taken(w), error = taken(delta);
        dlib::resizable_tensor dx;
        auto dw = sized(w.shape);
        dlib::tt::tensor_conv conv;
        set_up(conv, g, error, filters);
        if (checks()) require(g, error, filters, b, &data, filters.k());
        conv(false, dx, error, filters);
        conv.get_gradient_for_filters(false, data, error, dw);
        return {given(dx), given(dw), bias_gradient(b, error)};
    }

private:
    bool checks() const { return route == "checked"; }
};

}  // namespace

int main() {
    Dlib adapter;
    return serve(adapter);
}
