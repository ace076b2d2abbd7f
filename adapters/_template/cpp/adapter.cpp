// The sums of a convolutional layer, written out.  Replace the bodies of forward and backward by calls of your code, and
// claim in capabilities what it does.
#include "conformance.hpp"

using namespace conformance;

namespace {

// use(y, x, w) for every product w x that y sums, as numbers of elements in C order.  With fewer than 3 spatial axes the
// first ones have size 1.
template <class Use> void each_product(const Geometry& g, Use use) {
    const auto axis = [&](const auto& of, std::size_t k, auto none) { return k + g.rank() < 3 ? none : of[k + g.rank() - 3]; };
    const std::int64_t one = 1, depth = g.channels / g.groups, per_group = g.maps / g.groups;
    std::int64_t I[3], K[3], O[3], s[3], d[3], p[3];
    for (std::size_t k = 0; k < 3; ++k) {
        I[k] = axis(g.size, k, one), K[k] = axis(g.kernel, k, one), O[k] = axis(g.output, k, one);
        s[k] = axis(g.stride, k, one), d[k] = axis(g.dilation, k, one), p[k] = axis(g.padding, k, Pad{0, 0}).begin;
    }
    for (std::int64_t n = 0; n < g.batch; ++n)
        for (std::int64_t m = 0; m < g.maps; ++m)
            for (std::int64_t o = 0; o < O[0] * O[1] * O[2]; ++o)
                for (std::int64_t c = 0; c < depth; ++c)
                    for (std::int64_t k = 0; k < K[0] * K[1] * K[2]; ++k) {
                        const std::int64_t at[] = {o / O[2] / O[1], o / O[2] % O[1], o % O[2]};
                        const std::int64_t tap[] = {k / K[2] / K[1], k / K[2] % K[1], k % K[2]};
                        std::int64_t i = n * g.channels + m / per_group * depth + c;
                        bool inside = true;
                        for (std::size_t a = 0; a < 3; ++a) {
                            const std::int64_t position = at[a] * s[a] + tap[a] * d[a] - p[a];
                            inside = inside && 0 <= position && position < I[a];
                            i = i * I[a] + position;
                        }
                        if (inside) use((n * g.maps + m) * O[0] * O[1] * O[2] + o, i, (m * depth + c) * K[0] * K[1] * K[2] + k);
                    }
}

// use(b, y) for every element of y, with the one of b that is added to it.
template <class Use> void each_output(const Geometry& g, Use use) {
    std::int64_t positions = 1;
    for (const auto n : g.output) positions *= n;
    for (std::int64_t y = 0; y < g.batch * g.maps * positions; ++y) use(y / positions % g.maps, y);
}

template <class T> Tensor forward_of(const Geometry& g, const Tensor& x, const Tensor& w, const Tensor* b) {
    Tensor result = Tensor::zeros(x.dtype, g.y_shape());
    T* y = result.data<T>();
    const T *px = x.data<T>(), *pw = w.data<T>(), *pb = b ? b->data<T>() : nullptr;
    each_product(g, [&](auto o, auto i, auto k) { y[o] += pw[k] * px[i]; });
    if (pb) each_output(g, [&](auto m, auto o) { y[o] += pb[m]; });
    return result;
}

template <class T> Gradients backward_of(const Geometry& g, const Tensor& x, const Tensor& w, const Tensor* b, const Tensor& delta) {
    Gradients results{Tensor::zeros(x.dtype, g.x_shape()), Tensor::zeros(x.dtype, g.w_shape()), std::nullopt};
    T *dx = results.dx->data<T>(), *dw = results.dw->data<T>();
    const T *px = x.data<T>(), *pw = w.data<T>(), *error = delta.data<T>();
    each_product(g, [&](auto o, auto i, auto k) {
        dx[i] += pw[k] * error[o];
        dw[k] += px[i] * error[o];
    });
    if (b) {
        T* db = results.db.emplace(Tensor::zeros(x.dtype, g.b_shape())).template data<T>();
        each_output(g, [&](auto m, auto o) { db[m] += error[o]; });
    }
    return results;
}

struct Loops : Adapter {
    std::string name() const override { return "cpp-loops"; }

    Capabilities capabilities() const override {
        Capabilities can;
        can.ranks = {1, 2, 3};
        can.dtypes = {Dtype::float64, Dtype::float32};
        can.stride = can.dilation = can.groups = can.empty_batch = true;
        can.padding = "negative";
        for (const Dtype dtype : can.dtypes)
            for (const auto& quantity : can.quantities) can.arithmetic[dtype][quantity] = Arithmetic{};  // plain sums
        return can;
    }

    Tensor forward(const Geometry& g, const Tensor& x, const Tensor& w, const Tensor* b) override {
        g.check(x, w, b);  // the loops would not notice
        return x.dtype == Dtype::float64 ? forward_of<double>(g, x, w, b) : forward_of<float>(g, x, w, b);
    }

    Gradients backward(const Geometry& g, const Tensor& x, const Tensor& w, const Tensor* b, const Tensor& delta) override {
        g.check(x, w, b, &delta);
        return x.dtype == Dtype::float64 ? backward_of<double>(g, x, w, b, delta) : backward_of<float>(g, x, w, b, delta);
    }
};

}  // namespace

int main() {
    Loops adapter;
    return serve(adapter);
}
