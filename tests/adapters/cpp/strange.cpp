// An adapter that does nothing right: what it does otherwise, its route says.  It also converts and hands back, so that the
// SDK itself can be tested.
#include "conformance.hpp"

#include <iostream>

using namespace conformance;

namespace {

const bool printed = (std::cout << "noise of a static initialiser" << std::endl, true);

Tensor converted(const Tensor& x, Dtype to) {
    Tensor y(x.dtype == Dtype::float32 ? to : Dtype::float32, x.shape);
    const bool brain = to == Dtype::bfloat16;
    for (std::size_t k = 0; k < x.size(); ++k)
        if (x.dtype == Dtype::float32) y.data<std::uint16_t>()[k] = brain ? to_bf16(x.data<float>()[k]) : to_f16(x.data<float>()[k]);
        else y.data<float>()[k] = brain ? from_bf16(x.data<std::uint16_t>()[k]) : from_f16(x.data<std::uint16_t>()[k]);
    return y;
}

struct Strange : Adapter {
    std::string name() const override { return "strange"; }
    std::vector<std::pair<std::string, std::string>> routes() const override {
        return {{"echo", "hands back what it gets"}, {"float16", "y is x, converted"}, {"bfloat16", "y is x, converted"},
                {"throws", "a \"text\" with\nlines"}, {"throws-int", ""}, {"refuses", ""}, {"modifies", ""}, {"mistypes", ""},
                {"checks", ""}, {"unwritten", ""}, {"prints", ""}};
    }
    std::map<std::string, std::string> versions() const override { return {{"printed", printed ? "yes" : "no"}}; }
    Capabilities capabilities() const override {
        Capabilities can;
        can.ranks = {1, 2, 3};
        can.dtypes = {Dtype::float64, Dtype::float32, Dtype::float16, Dtype::bfloat16};
        can.stride = can.dilation = can.groups = can.empty_batch = true;
        can.padding = "negative";
        can.biases = {"none", "tied", "untied"};
        can.convention = "both";
        can.network = Networks{{"relu", "identity"}, {"quadratic"}, {2}, true};
        can.operations = {"transposed", "double_backward", "forward_mode"};
        can.arithmetic[Dtype::float16]["y"] = Arithmetic{"f32", "", "f16", false, true, "winograd", 2};
        return can;
    }
    std::optional<std::string> unsupported(const Geometry& g, Dtype dtype) const override {
        if (g.groups > 1 && dtype == Dtype::float16) return "groups in float16";
        return std::nullopt;
    }

    Tensor forward(const Geometry& g, const Tensor& x, const Tensor& w, const Tensor* b) override {
        if (route == "float16") return converted(x, Dtype::float16);
        if (route == "bfloat16") return converted(x, Dtype::bfloat16);
        if (route == "throws") throw std::range_error("no good: \xff\xc3\xa9 \x01");
        if (route == "throws-int") throw 7;
        if (route == "refuses") throw Unsupported("not today");
        if (route == "modifies") *const_cast<std::byte*>(x.bytes.data()) = std::byte{1};
        if (route == "mistypes") w.data<double>();
        if (route == "checks") g.check(x, w, b);
        if (route == "unwritten") return Tensor(x.dtype, x.shape);
        if (route == "prints") std::cout << "{}" << std::endl, std::printf("{}\n"), std::fflush(stdout);
        return x;
    }
    Gradients backward(const Geometry&, const Tensor& x, const Tensor& w, const Tensor* b, const Tensor&) override {
        return {x, w, b ? std::optional<Tensor>(*b) : std::nullopt};
    }
    Tensor transposed(const Geometry&, const Tensor& x, const Tensor&, const Tensor*) override { return x; }
    SecondGradients double_backward(const Geometry&, const Tensor&, const Tensor& w, const Tensor*, const Tensor& delta, const Tensor* u,
                                    const Tensor*, const Tensor*) override {
        return {u ? std::optional<Tensor>(*u) : std::nullopt, w, delta};
    }
    Tensor forward_mode(const Geometry&, const Tensor&, const Tensor&, const Tensor*, const Tensor*, const Tensor*,
                        const Tensor* r) override {
        return *r;
    }
    NetworkResults network(const Network& net, const Tensor& x, const Tensor& target, const std::vector<Parameters>& params) override {
        Tensor cost(Dtype::float64, {});
        *cost.data<double>() = net.layers.back().slope;
        return {cost, {x, target}, params};
    }
    std::vector<Parameters> step(const Network&, const Tensor&, const Tensor&, const std::vector<Parameters>& params, double rate) override {
        auto moved = params;
        for (Parameters& layer : moved) *layer.w.data<float>() = static_cast<float>(rate);
        if (route == "modifies") const_cast<std::byte&>(params.back().w.bytes.front()) = std::byte{1};
        return moved;
    }
};

}  // namespace

int main() {
    std::cout << "noise of main" << std::endl;
    Strange adapter;
    return serve(adapter);
}
