// oneDNN's convolution and deconvolution primitives on the CPU: forward, backward by data, backward by weights.
#include "conformance.hpp"

#include <algorithm>
#include <numeric>
#include <unordered_map>

#include <dnnl.hpp>

using namespace conformance;
using dnnl::memory;
using Dims = memory::dims;

namespace {

const dnnl::engine& cpu() {
    static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
    return engine;
}

// ---- memory ----
memory::data_type type_of(Dtype dtype) {
    return dtype == Dtype::bfloat16 ? memory::data_type::bf16 : memory::data_type::f32;
}

// Axes lie in memory in this order, the last one fastest.
memory::desc laid_out(const Dims& dims, memory::data_type type, const std::vector<std::size_t>& order) {
    Dims strides(dims.size());
    memory::dim step = 1;
    for (auto axis = order.rbegin(); axis != order.rend(); ++axis) strides[*axis] = step, step *= std::max<memory::dim>(dims[*axis], 1);
    return {dims, type, strides};
}

std::vector<std::size_t> in_order(std::size_t axes) {
    std::vector<std::size_t> order(axes);
    std::iota(order.begin(), order.end(), std::size_t{0});
    return order;
}

memory::desc row_major(const Dims& dims, memory::data_type type) { return laid_out(dims, type, in_order(dims.size())); }

memory view(const Tensor& tensor, const memory::desc& desc) {
    return {desc, cpu(), const_cast<std::byte*>(tensor.bytes.data())};
}

// A primitive's operands and results, reordered from and to the formats that it was made for.
class Execution {
public:
    void reads(int name, const memory& operand, const memory::desc& wanted) {
        const memory there = operand.get_desc() == wanted ? operand : memory(wanted, cpu());
        if (operand.get_desc() != wanted) reorder(operand, there);
        arguments_[name] = there;
    }
    void writes(int name, const memory& result, const memory::desc& wanted) {
        arguments_[name] = result.get_desc() == wanted ? result : memory(wanted, cpu());
        if (result.get_desc() != wanted) back_.emplace_back(arguments_[name], result);
    }
    void run(const dnnl::primitive& primitive) {
        primitive.execute(stream_, arguments_);
        stream_.wait();
        for (const auto& [from, to] : back_) reorder(from, to);
    }

private:
    dnnl::stream stream_{cpu()};
    std::unordered_map<int, memory> arguments_;
    std::vector<std::pair<memory, memory>> back_;

    void reorder(memory from, memory to) {
        dnnl::reorder(from, to).execute(stream_, from, to);
        stream_.wait();
    }
};

// ---- what a primitive is made of ----
template <class P, class... What> typename P::primitive_desc made(const What&... what) {
#if DNNL_VERSION_MAJOR < 3
    return {typename P::desc(what...), cpu()};
#else
    return {cpu(), what...};
#endif
}
template <class P, class Hint, class... What> typename P::primitive_desc made_for(const Hint& forward, const What&... what) {
#if DNNL_VERSION_MAJOR < 3
    return {typename P::desc(what...), cpu(), forward};
#else
    return {cpu(), what..., forward};
#endif
}

struct Convolution {
    using Forward = dnnl::convolution_forward;
    using Data = dnnl::convolution_backward_data;
    using Weights = dnnl::convolution_backward_weights;
    static constexpr auto algorithm = dnnl::algorithm::convolution_direct;
    static constexpr bool exchanged = false;
};
struct Deconvolution {
    using Forward = dnnl::deconvolution_forward;
    using Data = dnnl::deconvolution_backward_data;
    using Weights = dnnl::deconvolution_backward_weights;
    static constexpr auto algorithm = dnnl::algorithm::deconvolution_direct;
    static constexpr bool exchanged = true;  // its weights' outputs are our channels, its inputs our maps
};

// One call of the kind K: the tensors' own shapes, so that the library sees what does not fit.
template <class K> class Call {
public:
    Call(std::string route, const Geometry& g, const Tensor& x, const Tensor& w, const Tensor* b, const Shape& y)
        : route_(std::move(route)), g_(g), type_(type_of(x.dtype)), x_(row_major(x.shape, type_)), w_(weights(w)),
          b_(b ? row_major(b->shape, type_) : memory::desc()), y_(row_major(y, type_)) {
        for (std::size_t k = 0; k < g.rank(); ++k) {
            dilation_.push_back(g.dilation[k] - 1);  // oneDNN counts from 0
            before_.push_back(g.padding[k].begin);
            behind_.push_back(g.padding[k].end);
        }
    }

    Tensor forward(const Tensor& x, const Tensor& w, const Tensor* b, const Shape& shape) const {
        const auto chosen = forward_primitive();
        Tensor y(x.dtype, shape);
        Execution call;
        call.reads(DNNL_ARG_SRC, view(x, x_), chosen.src_desc());
        call.reads(DNNL_ARG_WEIGHTS, view(w, w_), chosen.weights_desc());
        if (b) call.reads(DNNL_ARG_BIAS, view(*b, b_), chosen.bias_desc());
        call.writes(DNNL_ARG_DST, view(y, y_), chosen.dst_desc());
        call.run(typename K::Forward(chosen));
        return y;
    }

    Tensor by_data(const Tensor& x, const Tensor& w, const Tensor& delta) const {
        const auto chosen = made_for<typename K::Data>(forward_primitive(), K::algorithm, asked(x_), asked_w(), asked(y_), g_.stride,
                                                       dilation_, before_, behind_);
        Tensor dx(x.dtype, x.shape);
        Execution call;
        call.reads(DNNL_ARG_DIFF_DST, view(delta, y_), chosen.diff_dst_desc());
        call.reads(DNNL_ARG_WEIGHTS, view(w, w_), chosen.weights_desc());
        call.writes(DNNL_ARG_DIFF_SRC, view(dx, x_), chosen.diff_src_desc());
        call.run(typename K::Data(chosen));
        return dx;
    }

    std::pair<Tensor, std::optional<Tensor>> by_weights(const Tensor& x, const Tensor& w, const Tensor* b, const Tensor& delta) const {
        const auto chosen = made_for<typename K::Weights>(forward_primitive(), K::algorithm, asked(x_), asked_w(), b_, asked(y_),
                                                          g_.stride, dilation_, before_, behind_);
        std::pair<Tensor, std::optional<Tensor>> results{Tensor(w.dtype, w.shape), std::nullopt};
        Execution call;
        call.reads(DNNL_ARG_SRC, view(x, x_), chosen.src_desc());
        call.reads(DNNL_ARG_DIFF_DST, view(delta, y_), chosen.diff_dst_desc());
        call.writes(DNNL_ARG_DIFF_WEIGHTS, view(results.first, w_), chosen.diff_weights_desc());
        if (b) call.writes(DNNL_ARG_DIFF_BIAS, view(results.second.emplace(b->dtype, b->shape), b_), chosen.diff_bias_desc());
        call.run(typename K::Weights(chosen));
        return results;
    }

private:
    std::string route_;
    const Geometry& g_;
    memory::data_type type_;
    memory::desc x_, w_, b_, y_;
    Dims dilation_, before_, behind_;

    // (M, C/G, ...) as oneDNN has it: with groups an axis of its own first, for deconvolution inputs behind outputs.
    memory::desc weights(const Tensor& w) const {
        if (w.shape[0] % g_.groups) throw std::invalid_argument("the maps of w cannot be divided into groups");
        Dims dims(w.shape);
        dims[0] /= g_.groups;
        std::size_t out = 0;
        if (g_.groups > 1) dims.insert(dims.begin(), g_.groups), out = 1;
        auto order = in_order(dims.size());
        if (K::exchanged) std::swap(dims[out], dims[out + 1]), std::swap(order[out], order[out + 1]);
        return laid_out(dims, type_, order);
    }

    // The formats that the primitive is asked for.
    memory::desc asked(const memory::desc& own) const {
        const Dims dims = dims_of(own);
        if (route_ == "blocked") return {dims, type_, memory::format_tag::any};
        if (route_ == "plain") return own;
        auto order = in_order(dims.size());
        std::rotate(order.begin() + 1, order.begin() + 2, order.end());
        return laid_out(dims, type_, order);
    }
    memory::desc asked_w() const { return route_ == "plain" ? w_ : memory::desc(dims_of(w_), type_, memory::format_tag::any); }
    static Dims dims_of(const memory::desc& desc) {
#if DNNL_VERSION_MAJOR < 3
        return desc.dims();
#else
        return desc.get_dims();
#endif
    }

    typename K::Forward::primitive_desc forward_primitive() const {
        return made<typename K::Forward>(dnnl::prop_kind::forward_training, K::algorithm, asked(x_), asked_w(), b_, asked(y_), g_.stride,
                                         dilation_, before_, behind_);
    }
};

// ---- the adapter ----
bool has_bfloat16() {  // depends on the processor
    Geometry g{1, 1, 1, 1, {1, 1}, {1, 1}, {1, 1}, {{0, 0}, {0, 0}}, {1, 1}, {1, 1}, "none", "correlation"};
    const Tensor one = Tensor::zeros(Dtype::bfloat16, {1, 1, 1, 1});
    try {
        const Call<Convolution> call("blocked", g, one, one, nullptr, one.shape);
        call.forward(one, one, nullptr, one.shape);
        call.by_weights(one, one, nullptr, one);
        call.by_data(one, one, one);
        return true;
    } catch (const dnnl::error&) {
        return false;
    }
}

struct OneDnn : Adapter {
    std::string name() const override { return "cpp-onednn"; }

    std::vector<std::pair<std::string, std::string>> routes() const override {
        return {{"blocked", "the formats that the primitives choose (format_tag::any), with reorders around them"},
                {"plain", "operands as they are handed over: NCHW and OIHW"},
                {"channels-last", "x, y and their gradients in NHWC"}};
    }

    std::map<std::string, std::string> versions() const override {
        const dnnl_version_t* v = dnnl_version();
        return {{"oneDNN", std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch)}};
    }

    Capabilities capabilities() const override {
        Capabilities can;
        can.ranks = {1, 2, 3};
        can.dtypes = {Dtype::float32};
        if (has_bfloat16()) can.dtypes.push_back(Dtype::bfloat16);
        can.stride = can.dilation = can.groups = can.empty_batch = true;
        can.padding = "asymmetric";
        can.operations = {"transposed"};
        for (const auto& quantity : can.quantities) can.arithmetic[Dtype::float32][quantity] = Arithmetic{};
        return can;
    }

    // README.md has problems on which dw then is wrong, or varies from call to call: of memory that was never written.
    std::optional<std::string> unsupported(const Geometry& g, Dtype dtype) const override {
        const bool padded = std::any_of(g.padding.begin(), g.padding.end(), [](const Pad& p) { return p.begin || p.end; });
        if (route == "channels-last" && dtype == Dtype::bfloat16 && g.rank() == 3 && padded)
            return "in bfloat16, NDHWC with padding, dw may be left unwritten";
        return std::nullopt;
    }

    Tensor forward(const Geometry& g, const Tensor& x, const Tensor& w, const Tensor* b) override {
        const Shape y = of(x.shape[0], w.shape[0], g.output);
        return Call<Convolution>(route, g, x, w, b, y).forward(x, w, b, y);
    }
    Gradients backward(const Geometry& g, const Tensor& x, const Tensor& w, const Tensor* b, const Tensor& delta) override {
        return gradients<Convolution>(g, x, w, b, delta);
    }
    Tensor transposed(const Geometry& g, const Tensor& x, const Tensor& w, const Tensor* b) override {
        const Shape y = of(x.shape[0], w.shape[1] * g.groups, g.size);
        return Call<Deconvolution>(route, g, x, w, b, y).forward(x, w, b, y);
    }
    Gradients transposed_backward(const Geometry& g, const Tensor& x, const Tensor& w, const Tensor* b, const Tensor& delta) override {
        return gradients<Deconvolution>(g, x, w, b, delta);
    }

private:
    static Shape of(std::int64_t batch, std::int64_t channels, const Shape& size) {
        Shape shape{batch, channels};
        shape.insert(shape.end(), size.begin(), size.end());
        return shape;
    }
    template <class K>
    Gradients gradients(const Geometry& g, const Tensor& x, const Tensor& w, const Tensor* b, const Tensor& delta) const {
        const Call<K> call(route, g, x, w, b, delta.shape);
        auto [dw, db] = call.by_weights(x, w, b, delta);
        return {call.by_data(x, w, delta), std::move(dw), std::move(db)};
    }
};

}  // namespace

int main() {
    OneDnn adapter;
    return serve(adapter);
}
