// The wire protocol of `conformance`, version 1, for C++17 on POSIX systems: one header, the standard library only.
//
//     #include "conformance.hpp"                                        // a whole adapter: adapter.cpp
//     using namespace conformance;
//
//     struct MyCNN : Adapter {
//         std::string name() const override { return "cpp-my-cnn"; }
//         Capabilities capabilities() const override {
//             Capabilities can;                                         // what is not said is not claimed
//             can.ranks = {2};
//             can.dtypes = {Dtype::float32};
//             can.stride = true;
//             return can;
//         }
//         Tensor forward(const Geometry& g, const Tensor& x, const Tensor& w, const Tensor* b) override {
//             Tensor y(x.dtype, g.y_shape());                           // holds NaN: what is not written shows
//             my_forward(x.data<float>(), w.data<float>(), b ? b->data<float>() : nullptr, g.stride[0], y.data<float>());
//             return y;                                                 // x is (N, C, H, W), w (M, C/G, KH, KW), b (M,)
//         }
//         Gradients backward(const Geometry& g, const Tensor& x, const Tensor& w, const Tensor* b, const Tensor& delta) override;
//     };
//     int main() { MyCNN adapter; return serve(adapter); }
//
// `conformance doctor cmd:./adapter` says whether it is wired rightly.  Hand on the tensors' own shapes: they may contradict
// the geometry on purpose, and the implementation shall refuse them; `g.check(x, w, b)` does, for one that checks nothing.
// Throw what you like: an exception becomes an answer; `Unsupported` says that a problem is not offered after all.
//
// Standard output belongs to the protocol.  With the GNU C library it is moved away before any static initialiser runs, of
// shared libraries too, so whatever prints, prints to standard error; elsewhere `serve` moves it, so call that first in main.
// Define CONFORMANCE_LATE where a program includes this header and is no adapter: nothing is moved before `serve` then.
#ifndef CONFORMANCE_HPP
#define CONFORMANCE_HPP

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <initializer_list>
#include <limits>
#include <locale>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

#include <cxxabi.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace conformance {

// ---- what goes wrong, and whose fault it is ----
struct Unsupported : std::runtime_error {  // this problem is not offered; says why
    using std::runtime_error::runtime_error;
};
struct AdapterFault : std::logic_error {  // the adapter is at fault, not the implementation behind it
    using std::logic_error::logic_error;
};
struct Malformed : std::runtime_error {  // a message breaks the rules of the protocol
    using std::runtime_error::runtime_error;
};

// ---- numbers of 16 bits: rounded to nearest, ties to even; a NaN stays a NaN of its sign ----
namespace detail {
template <class To, class From> To bits(const From& from) noexcept {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    std::memcpy(&to, &from, sizeof to);
    return to;
}
}  // namespace detail

inline float from_bf16(std::uint16_t h) noexcept { return detail::bits<float>(std::uint32_t{h} << 16); }

inline std::uint16_t to_bf16(float value) noexcept {
    const auto u = detail::bits<std::uint32_t>(value);
    if (std::isnan(value)) return static_cast<std::uint16_t>(u >> 16 | 0x40);
    return static_cast<std::uint16_t>((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

inline float from_f16(std::uint16_t h) noexcept {
    const std::uint32_t sign = (h & 0x8000u) << 16, rest = h & 0x7fffu;
    if (rest >= 0x7c00) return detail::bits<float>(sign | 0x7f800000u | (rest & 0x3ff) << 13);
    if (rest >= 0x0400) return detail::bits<float>(sign | ((rest << 13) + (112u << 23)));
    const float magnitude = static_cast<float>(rest) * 0x1p-24f;  // subnormal: a multiple of the least step
    return sign ? -magnitude : magnitude;
}

inline std::uint16_t to_f16(float value) noexcept {
    const auto u = detail::bits<std::uint32_t>(value);
    const std::uint32_t sign = u >> 16 & 0x8000u, rest = u & 0x7fffffffu;
    std::uint32_t h = 0;
    if (rest > 0x7f800000u) h = 0x7e00u | (rest >> 13 & 0x3ff);
    else if (rest >= 0x477ff000u) h = 0x7c00u;  // from 65520 on: infinity
    else if (rest >= 0x38800000u) h = (rest - (112u << 23) + 0xfff + (rest >> 13 & 1)) >> 13;
    else h = static_cast<std::uint32_t>(std::lrint(detail::bits<float>(rest) * 0x1p24f));  // subnormal, exact before lrint
    return static_cast<std::uint16_t>(sign | h);
}

// ---- tensors ----
enum class Dtype { float64, float32, float16, bfloat16 };
using Shape = std::vector<std::int64_t>;

namespace detail {
struct Format {
    Dtype dtype;
    const char *name, *code;
    std::size_t size;
};
constexpr std::array<Format, 4> formats{{{Dtype::float64, "float64", "F64", 8},
                                         {Dtype::float32, "float32", "F32", 4},
                                         {Dtype::float16, "float16", "F16", 2},
                                         {Dtype::bfloat16, "bfloat16", "BF16", 2}}};
inline const Format& format(Dtype dtype) { return formats[static_cast<std::size_t>(dtype)]; }

inline std::size_t elements(const Shape& shape) {  // at most 2^53, else AdapterFault
    std::size_t n = 1;
    for (const auto axis : shape) {
        if (axis < 0) throw AdapterFault("a tensor's axis is negative");
        if (axis && n > (std::size_t{1} << 53) / static_cast<std::size_t>(axis)) throw AdapterFault("a tensor is too large");
        n *= static_cast<std::size_t>(axis);
    }
    return n;
}
}  // namespace detail

inline const char* name_of(Dtype dtype) { return detail::format(dtype).name; }

inline std::string text_of(const Shape& shape) {  // (2, 3), as Python writes it
    std::string text = "(";
    for (std::size_t k = 0; k < shape.size(); ++k) text += (k ? ", " : "") + std::to_string(shape[k]);
    return text + (shape.size() == 1 ? ",)" : ")");
}

// Numbers in C order (last axis fastest).  float16 and bfloat16 are std::uint16_t: from_f16, to_f16, from_bf16, to_bf16.
struct Tensor {
    Dtype dtype = Dtype::float32;
    Shape shape;
    std::vector<std::byte> bytes;

    Tensor() : Tensor(Dtype::float32, {0}) {}
    Tensor(Dtype type, Shape axes, std::byte fill = std::byte{0xff})  // all bits set is a NaN in every dtype
        : dtype(type), shape(std::move(axes)), bytes(detail::elements(shape) * detail::format(type).size, fill) {}
    static Tensor zeros(Dtype type, Shape axes) { return Tensor(type, std::move(axes), std::byte{0}); }

    std::size_t size() const { return bytes.size() / detail::format(dtype).size; }
    template <class T> const T* data() const {
        constexpr bool known = std::is_same_v<T, double> || std::is_same_v<T, float> || std::is_same_v<T, std::uint16_t>;
        static_assert(known, "elements are double, float, or std::uint16_t for float16 and bfloat16");
        const bool fits = std::is_same_v<T, double>  ? dtype == Dtype::float64
                          : std::is_same_v<T, float> ? dtype == Dtype::float32
                                                     : detail::format(dtype).size == 2;
        if (!fits) throw AdapterFault(std::string("data<T>() of a tensor of ") + name_of(dtype) + " asks for another type");
        return reinterpret_cast<const T*>(bytes.data());
    }
    template <class T> T* data() { return const_cast<T*>(static_cast<const Tensor&>(*this).data<T>()); }
};

struct Gradients {  // std::nullopt: not offered, or db without a bias
    std::optional<Tensor> dx, dw, db;
};
struct SecondGradients {
    std::optional<Tensor> dx, dw, ddelta;
};

// ---- what is asked ----
struct Pad {
    std::int64_t begin, end;
};

struct Geometry {
    std::int64_t batch, channels, maps, groups;
    Shape size, kernel, stride;
    std::vector<Pad> padding;
    Shape dilation, output;        // dilation 1: none
    std::string bias, convention;  // none, tied or untied; correlation or convolution

    std::size_t rank() const { return size.size(); }
    Shape x_shape() const { return joined({batch, channels}, size); }
    Shape w_shape() const { return joined({maps, channels / groups}, kernel); }
    Shape y_shape() const { return joined({batch, maps}, output); }
    Shape b_shape() const { return bias == "untied" ? joined({maps}, output) : Shape{maps}; }

    // Throws std::invalid_argument if an operand of forward or backward is not of the shape that this geometry gives.
    void check(const Tensor& x, const Tensor& w, const Tensor* b, const Tensor* delta = nullptr) const {
        check("x", x, x_shape());
        check("w", w, w_shape());
        if (b) check("b", *b, b_shape());
        if (delta) check("delta", *delta, y_shape());
    }
    static void check(const char* name, const Tensor& operand, const Shape& needed) {
        if (operand.shape != needed)
            throw std::invalid_argument(std::string(name) + " has shape " + text_of(operand.shape) +
                                        ", but this geometry needs " + text_of(needed));
    }

private:
    static Shape joined(Shape first, const Shape& rest) {
        first.insert(first.end(), rest.begin(), rest.end());
        return first;
    }
};

struct Layer {
    Geometry geometry;
    std::string activation;
    double slope;
};
struct Network {
    std::vector<Layer> layers;
    std::string cost;
};
struct Parameters {  // of one layer, or their gradients
    Tensor w;
    std::optional<Tensor> b;
};
struct NetworkResults {
    Tensor cost;
    std::vector<Tensor> deltas;
    std::vector<Parameters> gradients;
};

// ---- what is claimed: as in conformance.Arithmetic, Networks and Capabilities; "" is Python's None ----
using Words = std::vector<std::string>;

struct Arithmetic {
    std::string accumulator, inputs, partial_sums;
    bool truncates = false, flushes = false;
    std::string algorithm = "direct";
    int tile = 0;
};
struct Networks {
    Words activations, costs = {"quadratic"};
    std::vector<int> ranks = {1, 2, 3};
    bool step = false;
};
struct Capabilities {
    std::vector<int> ranks;
    std::vector<Dtype> dtypes;
    bool stride = false;
    std::string padding = "none";  // none, symmetric, asymmetric, negative: each includes those before it
    bool dilation = false, groups = false;
    Words biases = {"none", "tied"}, quantities = {"y", "dx", "dw", "db"};
    std::string convention = "correlation", x_layout = "NCHW", w_layout = "OIHW";
    bool empty_batch = false;
    std::optional<Networks> network;
    Words operations;  // of transposed, double_backward, forward_mode
    std::map<Dtype, std::map<std::string, Arithmetic>> arithmetic;  // dtype -> quantity; what is left out, probes infer
};

// ---- the adapter: override what is offered ----
struct Adapter {
    std::string route;  // a key of routes(), set before anything is asked

    Adapter() = default;
    Adapter(const Adapter&) = default;
    Adapter& operator=(const Adapter&) = default;
    virtual ~Adapter() = default;

    virtual std::string name() const = 0;
    virtual Capabilities capabilities() const = 0;
    // Ways through the library, each with a sentence; the first is taken where none is asked for.
    virtual std::vector<std::pair<std::string, std::string>> routes() const { return {}; }
    virtual std::map<std::string, std::string> versions() const { return {}; }
    // A reason, if this geometry in this dtype is not offered though the capabilities allow it.
    virtual std::optional<std::string> unsupported(const Geometry&, Dtype) const { return std::nullopt; }

    virtual Tensor forward(const Geometry& g, const Tensor& x, const Tensor& w, const Tensor* b) = 0;
    virtual Gradients backward(const Geometry& g, const Tensor& x, const Tensor& w, const Tensor* b, const Tensor& delta) = 0;

    // What conformance/problem/operations.py says; a pointer is null for what there is not.
    virtual Tensor transposed(const Geometry&, const Tensor&, const Tensor&, const Tensor*) { throw missing("transposed"); }
    virtual Gradients transposed_backward(const Geometry&, const Tensor&, const Tensor&, const Tensor*, const Tensor&) {
        throw missing("transposed_backward");
    }
    virtual SecondGradients double_backward(const Geometry&, const Tensor& /*x*/, const Tensor& /*w*/, const Tensor* /*b*/,
                                            const Tensor& /*delta*/, const Tensor* /*u*/, const Tensor* /*v*/, const Tensor* /*r*/) {
        throw missing("double_backward");
    }
    virtual Tensor forward_mode(const Geometry&, const Tensor& /*x*/, const Tensor& /*w*/, const Tensor* /*b*/,
                                const Tensor* /*u*/, const Tensor* /*v*/, const Tensor* /*r*/) {
        throw missing("forward_mode");
    }
    // What conformance/adapter/networks.py says.
    virtual NetworkResults network(const Network&, const Tensor& /*x*/, const Tensor& /*target*/, const std::vector<Parameters>&) {
        throw missing("network");
    }
    virtual std::vector<Parameters> step(const Network&, const Tensor& /*x*/, const Tensor& /*target*/,
                                         const std::vector<Parameters>&, double /*rate*/) {
        throw missing("step");
    }

private:
    AdapterFault missing(const char* method) const { return AdapterFault(name() + " has no " + method); }
};

namespace detail {

// ---- JSON ----
inline std::size_t utf8(std::string_view s, std::size_t at) {  // bytes of the character there; 0: it is none
    const auto byte = [&](std::size_t k) { return k < s.size() ? static_cast<unsigned char>(s[k]) : 0u; };
    const unsigned lead = byte(at), next = byte(at + 1);
    const auto tail = [&](std::size_t k) { return (byte(at + k) & 0xc0) == 0x80; };
    if (lead < 0x80) return 1;
    if (lead >= 0xc2 && lead <= 0xdf) return tail(1) ? 2 : 0;
    if (lead >= 0xe0 && lead <= 0xef) {
        const bool overlong = lead == 0xe0 && next < 0xa0, surrogate = lead == 0xed && next > 0x9f;
        return tail(1) && tail(2) && !overlong && !surrogate ? 3 : 0;
    }
    if (lead >= 0xf0 && lead <= 0xf4) {
        const bool overlong = lead == 0xf0 && next < 0x90, beyond = lead == 0xf4 && next > 0x8f;
        return tail(1) && tail(2) && tail(3) && !overlong && !beyond ? 4 : 0;
    }
    return 0;
}

inline void append_utf8(std::string& out, std::uint32_t c) {
    const auto put = [&](std::uint32_t byte) { out += static_cast<char>(static_cast<unsigned char>(byte)); };
    if (c < 0x80) return put(c);
    if (c < 0x800) return put(0xc0 | c >> 6), put(0x80 | (c & 0x3f));
    if (c < 0x10000) return put(0xe0 | c >> 12), put(0x80 | (c >> 6 & 0x3f)), put(0x80 | (c & 0x3f));
    put(0xf0 | c >> 18), put(0x80 | (c >> 12 & 0x3f)), put(0x80 | (c >> 6 & 0x3f)), put(0x80 | (c & 0x3f));
}

struct Json {
    enum class Kind { null, boolean, number, string, array, object } kind = Kind::null;
    bool truth = false;
    double value = 0;
    std::string characters;
    std::vector<Json> items;
    std::vector<std::pair<std::string, Json>> members;

    const Json* find(std::string_view name) const {
        for (const auto& member : members)
            if (member.first == name) return &member.second;
        return nullptr;
    }
    const Json& operator[](const char* name) const {
        if (const Json* found = find(name)) return *found;
        throw Malformed(std::string("it has no '") + name + "'");
    }
    const std::vector<Json>& list() const { return is(Kind::array, "a list"), items; }
    const std::string& string() const { return is(Kind::string, "a text"), characters; }
    double number() const { return is(Kind::number, "a number"), value; }
    std::int64_t integer() const {
        if (number() != std::floor(value) || std::fabs(value) > 0x1p53) throw Malformed("an integer is expected");
        return static_cast<std::int64_t>(value);
    }
    std::int64_t count() const {
        if (integer() < 0) throw Malformed("a count is negative");
        return integer();
    }
    Shape counts() const {
        Shape all;
        for (const Json& item : list()) all.push_back(item.count());
        return all;
    }

private:
    void is(Kind wanted, const char* what) const {
        if (kind != wanted) throw Malformed(std::string(what) + " is expected");
    }
};

class Reader {  // strict: RFC 8259, at most 32 levels, no name twice, nothing behind the value
public:
    static Json read(std::string_view text) {
        Reader reader(text);
        Json json = reader.value(0);
        reader.space();
        if (reader.at_ != text.size()) reader.fail("something stands behind the value");
        return json;
    }

private:
    explicit Reader(std::string_view text) : text_(text) {}
    std::string_view text_;
    std::size_t at_ = 0;

    [[noreturn]] void fail(const char* what) const {
        throw Malformed("it is not JSON at byte " + std::to_string(at_) + ": " + what);
    }
    char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
    bool take(char c) { return peek() == c && at_ < text_.size() && (++at_, true); }
    void need(char c, const char* what) { take(c) ? void() : fail(what); }
    void space() {
        while (at_ < text_.size() && std::strchr(" \t\r\n", text_[at_]) && text_[at_]) ++at_;
    }
    bool digits() {
        const auto begin = at_;
        while (peek() >= '0' && peek() <= '9') ++at_;
        return at_ > begin;
    }
    bool word(std::string_view literal) {
        const bool there = text_.substr(at_, literal.size()) == literal;
        return at_ += there ? literal.size() : 0, there;
    }

    Json value(int depth) {
        if (depth > 32) fail("more than 32 levels");
        space();
        Json json;
        if (peek() == '{') return object(depth);
        if (peek() == '[') return array(depth);
        if (peek() == '"') return json.kind = Json::Kind::string, json.characters = string(), json;
        if (word("null")) return json;
        if (word("true")) return json.kind = Json::Kind::boolean, json.truth = true, json;
        if (word("false")) return json.kind = Json::Kind::boolean, json;
        return json.kind = Json::Kind::number, json.value = number(), json;
    }
    Json object(int depth) {
        Json json;
        json.kind = Json::Kind::object;
        need('{', "'{' is expected");
        for (space(); !take('}'); space()) {
            if (!json.members.empty()) need(',', "',' or '}' is expected"), space();
            std::string name = string();
            if (json.find(name)) fail("a name stands twice");
            space(), need(':', "':' is expected");
            json.members.emplace_back(std::move(name), value(depth + 1));
        }
        return json;
    }
    Json array(int depth) {
        Json json;
        json.kind = Json::Kind::array;
        need('[', "'[' is expected");
        for (space(); !take(']'); space()) {
            if (!json.items.empty()) need(',', "',' or ']' is expected");
            json.items.push_back(value(depth + 1));
        }
        return json;
    }
    double number() {
        const auto begin = at_;
        take('-');
        if (!take('0') && !digits()) fail("a value is expected");
        if (take('.') && !digits()) fail("digits are expected");
        if ((take('e') || take('E')) && ((take('+') || take('-')), !digits())) fail("digits are expected");
        std::istringstream stream{std::string(text_.substr(begin, at_ - begin))};
        stream.imbue(std::locale::classic());  // whatever locale a library has set
        double result = 0;
        if (!(stream >> result)) fail("a number is out of range");
        return result;
    }
    std::string string() {
        std::string out;
        for (need('"', "'\"' is expected"); !take('"');) {
            if (at_ >= text_.size() || static_cast<unsigned char>(peek()) < 0x20) fail("a text does not end");
            if (take('\\')) { escape(out); continue; }
            const auto length = utf8(text_, at_);
            if (!length) fail("a text is not UTF-8");
            out.append(text_.substr(at_, length)), at_ += length;
        }
        return out;
    }
    void escape(std::string& out) {
        static constexpr std::string_view names = "\"\\/bfnrt", meant = "\"\\/\b\f\n\r\t";
        if (take('u')) {
            std::uint32_t c = hex4();
            if (c >= 0xdc00 && c <= 0xdfff) fail("half a surrogate pair");
            if (c >= 0xd800 && c <= 0xdbff) {
                const std::uint32_t low = word("\\u") ? hex4() : 0;
                if (low < 0xdc00 || low > 0xdfff) fail("half a surrogate pair");
                c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
            }
            return append_utf8(out, c);
        }
        const auto k = at_ < text_.size() ? names.find(peek()) : std::string_view::npos;
        if (k == std::string_view::npos) fail("an unknown escape");
        out += meant[k], ++at_;
    }
    std::uint32_t hex4() {
        static constexpr std::string_view digit = "0123456789abcdef0123456789ABCDEF";
        std::uint32_t c = 0;
        for (int k = 0; k < 4; ++k, ++at_) {
            const auto d = at_ < text_.size() ? digit.find(peek()) : std::string_view::npos;
            if (d == std::string_view::npos) fail("four hexadecimal digits are expected");
            c = c << 4 | static_cast<std::uint32_t>(d & 15);
        }
        return c;
    }
};

inline std::string quote(std::string_view text) {  // bytes that are no UTF-8 become U+FFFD
    std::string out = "\"";
    for (std::size_t at = 0, length; at < text.size(); at += std::max<std::size_t>(length, 1)) {
        length = utf8(text, at);
        const auto c = static_cast<unsigned char>(text[at]);
        std::array<char, 8> code{};
        if (!length) out += "\xef\xbf\xbd";
        else if (c == '"' || c == '\\') out += '\\', out += text[at];
        else if (c < 0x20) std::snprintf(code.data(), code.size(), "\\u%04x", unsigned{c}), out += code.data();
        else out += text.substr(at, length);
    }
    return out + '"';
}
inline std::string json(bool truth) { return truth ? "true" : "false"; }
inline std::string json(std::int64_t value) { return std::to_string(value); }
inline std::string json(int value) { return std::to_string(value); }
inline std::string json(Dtype dtype) { return quote(name_of(dtype)); }
inline std::string json(const std::string& text) { return quote(text); }
template <class T> std::string json(const std::vector<T>& all) {
    std::string out;
    for (const T& one : all) out += (out.empty() ? "" : ",") + json(one);
    return "[" + out + "]";
}

using Fields = std::vector<std::pair<std::string, std::string>>;  // (name, JSON)
inline std::string object(const Fields& fields) {
    std::string out;
    for (const auto& [name, value] : fields) out += (out.empty() ? "" : ",") + quote(name) + ":" + value;
    return "{" + out + "}";
}
template <class M> std::string strings(const M& all) {
    Fields fields;
    for (const auto& [name, text] : all) fields.emplace_back(name, quote(text));
    return object(fields);
}

inline std::string json(const Arithmetic& a) {
    const auto format = [](const std::string& name) { return name.empty() ? "null" : quote(name); };
    return object({{"accumulator", format(a.accumulator)}, {"inputs", format(a.inputs)},
                   {"partial_sums", format(a.partial_sums)}, {"truncates", json(a.truncates)}, {"flushes", json(a.flushes)},
                   {"algorithm", quote(a.algorithm)}, {"tile", a.tile ? json(a.tile) : "null"}});
}
inline std::string json(const Networks& n) {
    return object({{"activations", json(n.activations)}, {"costs", json(n.costs)}, {"ranks", json(n.ranks)}, {"step", json(n.step)}});
}
inline std::string json(const Capabilities& c) {
    Fields dtypes;
    for (const auto& [dtype, classes] : c.arithmetic) {
        Fields quantities;
        for (const auto& [quantity, arithmetic] : classes) quantities.emplace_back(quantity, json(arithmetic));
        dtypes.emplace_back(name_of(dtype), object(quantities));
    }
    return object({{"ranks", json(c.ranks)}, {"dtypes", json(c.dtypes)}, {"stride", json(c.stride)}, {"padding", quote(c.padding)},
                   {"dilation", json(c.dilation)}, {"groups", json(c.groups)}, {"biases", json(c.biases)},
                   {"quantities", json(c.quantities)}, {"convention", quote(c.convention)}, {"x_layout", quote(c.x_layout)},
                   {"w_layout", quote(c.w_layout)}, {"empty_batch", json(c.empty_batch)}, {"memories", "[\"c\"]"},
                   {"network", c.network ? json(*c.network) : "null"}, {"operations", json(c.operations)},
                   {"arithmetic", dtypes.empty() ? "null" : object(dtypes)}});
}

// ---- requests ----
inline Dtype dtype_of(const std::string& name) {
    for (const auto& format : formats)
        if (name == format.name || name == format.code) return format.dtype;
    throw Malformed("there is no dtype '" + name + "'");
}

inline Geometry geometry(const Json& j) {
    Geometry g{j["batch"].count(), j["channels"].count(), j["maps"].count(), j["groups"].count(),
               j["size"].counts(), j["kernel"].counts(), j["stride"].counts(), {},
               j["dilation"].counts(), j["output"].counts(), j["bias"].string(), j["convention"].string()};
    for (const Json& pair : j["padding"].list()) {
        if (pair.list().size() != 2) throw Malformed("a padding is not [begin, end]");
        g.padding.push_back({pair.items[0].integer(), pair.items[1].integer()});
    }
    for (const std::size_t axes : {g.kernel.size(), g.stride.size(), g.padding.size(), g.dilation.size(), g.output.size()})
        if (axes != g.rank() || axes < 1 || axes > 3) throw Malformed("a geometry has entries for different numbers of axes");
    if (!g.groups) throw Malformed("a geometry has 0 groups");
    return g;
}

inline Network network(const Json& j) {
    Network net{{}, j["cost"].string()};
    for (const Json& layer : j["layers"].list())
        net.layers.push_back({geometry(layer["geometry"]), layer["activation"].string(), layer["slope"].number()});
    return net;
}

// ---- safetensors ----
struct Named {
    std::string name;
    Tensor tensor;
    std::size_t offset = 0;  // of its bytes in the blob
};
using Blob = std::vector<Named>;

inline Blob decoded(std::string_view blob) {
    if (blob.empty()) return {};
    if (blob.size() < 8) throw Malformed("the blob is shorter than 8 bytes");
    std::uint64_t length = 0;
    for (std::size_t k = 8; k--;) length = length << 8 | static_cast<unsigned char>(blob[k]);
    if (length > blob.size() - 8) throw Malformed("the blob is shorter than its header");
    const auto start = 8 + static_cast<std::size_t>(length), size = blob.size() - start;
    Blob tensors;
    for (const auto& [name, entry] : Reader::read(blob.substr(8, static_cast<std::size_t>(length))).members) {
        if (name == "__metadata__") continue;
        const Shape ends = entry["data_offsets"].counts(), shape = entry["shape"].counts();
        const Dtype dtype = dtype_of(entry["dtype"].string());
        const bool inside = ends.size() == 2 && ends[0] <= ends[1] && static_cast<std::uint64_t>(ends[1]) <= size;
        if (!inside || static_cast<std::size_t>(ends[1] - ends[0]) != elements(shape) * format(dtype).size)
            throw Malformed("the bytes of '" + name + "' are not those of its shape");
        tensors.push_back({name, Tensor(dtype, shape), start + static_cast<std::size_t>(ends[0])});
        if (ends[0] < ends[1])
            std::memcpy(tensors.back().tensor.bytes.data(), blob.data() + tensors.back().offset, tensors.back().tensor.bytes.size());
    }
    std::size_t next = start;  // one behind the other, without a gap
    std::stable_sort(tensors.begin(), tensors.end(), [](const Named& a, const Named& b) { return a.offset < b.offset; });
    for (const Named& t : tensors)
        if (std::exchange(next, t.offset + t.tensor.bytes.size()) != t.offset) throw Malformed("a tensor overlaps another, or leaves a gap");
    if (next != blob.size()) throw Malformed("the blob is longer than its tensors");
    return tensors;
}

inline std::string header_of(const Blob& tensors) {
    Fields entries;
    std::int64_t at = 0;
    for (const auto& [name, tensor, _] : tensors) {
        const auto end = at + static_cast<std::int64_t>(tensor.bytes.size());
        entries.emplace_back(name, object({{"dtype", quote(format(tensor.dtype).code)}, {"shape", json(tensor.shape)},
                                           {"data_offsets", json(Shape{at, end})}}));
        at = end;
    }
    std::string header = object(entries);
    header.append((8 - header.size() % 8) % 8, ' ');
    std::string length(8, '\0');
    for (std::size_t k = 0; k < 8; ++k) length[k] = static_cast<char>(static_cast<unsigned char>(header.size() >> 8 * k));
    return length + header;
}

// ---- descriptors ----
struct Descriptors {
    int in = -1, out = -1;
};
inline Descriptors protocol;

#if defined(__GNUC__)
__attribute__((no_sanitize("address", "undefined")))  // runs before a sanitizer is ready
#endif
inline void take_descriptors() noexcept {
    if (protocol.in >= 0) return;
    protocol.in = fcntl(0, F_DUPFD_CLOEXEC, 3);
    protocol.out = fcntl(1, F_DUPFD_CLOEXEC, 3);
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (dup2(2, 1) < 0) dup2(null, 1);
    dup2(null, 0);
    if (null > 2) close(null);
}

#if defined(__GLIBC__) && defined(__ELF__) && !defined(CONFORMANCE_LATE)
__attribute__((section(".preinit_array"), used)) static void (*const before_all_else)() noexcept = &take_descriptors;
#endif

class Input {
public:
    explicit Input(int descriptor) : descriptor_(descriptor) {}

    bool line(std::string& line) {  // false: the input ended
        for (std::size_t from = 0;;) {
            const auto end = buffer_.find('\n', from);
            if ((end == std::string::npos ? buffer_.size() : end) > limit) throw Malformed("a line is longer than 1 MiB");
            if (end != std::string::npos) {
                line.assign(buffer_, 0, end);
                buffer_.erase(0, end + 1);
                return true;
            }
            from = buffer_.size();
            std::array<char, 65536> chunk;
            const auto n = some(chunk.data(), chunk.size());
            if (!n && from) throw Malformed("the input ended within a line");
            if (!n) return false;
            buffer_.append(chunk.data(), n);
        }
    }
    std::string bytes(std::size_t count) {  // memory grows with what comes, not with what was promised
        std::string all = buffer_.substr(0, count);
        buffer_.erase(0, all.size());
        while (all.size() < count) {
            const auto have = all.size();
            all.resize(std::min(count, std::max(2 * have, limit)));
            for (auto at = have; at < all.size();) {
                const auto n = some(all.data() + at, all.size() - at);
                if (!n) throw Malformed("the input ended within a blob");
                at += n;
            }
        }
        return all;
    }

private:
    static constexpr std::size_t limit = std::size_t{1} << 20;
    int descriptor_;
    std::string buffer_;

    std::size_t some(char* to, std::size_t count) const {
        ssize_t n;
        do n = read(descriptor_, to, count);
        while (n < 0 && errno == EINTR);
        if (n < 0) throw Malformed(std::string("the input cannot be read: ") + std::strerror(errno));
        return static_cast<std::size_t>(n);
    }
};

inline void write_all(int descriptor, const void* from, std::size_t count, off_t offset = -1) {  // offset -1: a pipe
    for (auto at = static_cast<const char*>(from); count;) {
        const auto n = offset < 0 ? write(descriptor, at, count) : pwrite(descriptor, at, count, offset);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) throw std::runtime_error(std::string("an answer cannot be written: ") + std::strerror(errno));
        at += n, count -= static_cast<std::size_t>(n), offset += offset < 0 ? 0 : n;
    }
}

class Mapped {  // the beginning of a file in memory, to be read
public:
    Mapped(int descriptor, std::size_t size) : size_(size) {
        struct stat status {};
        const bool there = fstat(descriptor, &status) == 0 && static_cast<std::uint64_t>(status.st_size) >= size;
        if (!there) throw Malformed("the shared memory is shorter than the blob");
        if (size) start_ = mmap(nullptr, size, PROT_READ, MAP_SHARED, descriptor, 0);
        if (start_ == MAP_FAILED) throw Malformed(std::string("the shared memory cannot be mapped: ") + std::strerror(errno));
    }
    ~Mapped() { if (start_) munmap(start_, size_); }
    Mapped(const Mapped&) = delete;
    Mapped& operator=(const Mapped&) = delete;
    std::string_view view() const { return {static_cast<const char*>(start_), size_}; }

private:
    std::size_t size_;
    void* start_ = nullptr;
};

// Leaves NaN in memory that the next allocations of these sizes are likely to get: an allocator hands freed blocks out again.
inline void spoil(const Shape& sizes, Dtype dtype) {
    constexpr std::size_t copies = 24, most = std::size_t{64} << 20;
    std::vector<std::unique_ptr<void, decltype(&std::free)>> blocks;
    for (const auto size : sizes)
        for (const std::size_t width : {format(dtype).size, sizeof(double)}) {
            const std::size_t bytes = std::min(static_cast<std::size_t>(size), most) * width;
            for (std::size_t k = 0; k < copies && (k == 0 || (k + 1) * bytes <= most); ++k) {
                blocks.emplace_back(std::malloc(bytes), &std::free);
                if (!blocks.back()) break;
                std::memset(blocks.back().get(), 0xff, bytes);
                __asm__ volatile("" : : "r"(blocks.back().get()) : "memory");  // else it is never written
            }
        }
}

inline std::string type_of(const std::type_info* type) {
    if (!type) return "unknown";
    int status = 0;
    const std::unique_ptr<char, decltype(&std::free)> name(abi::__cxa_demangle(type->name(), nullptr, nullptr, &status), &std::free);
    return status == 0 ? name.get() : type->name();
}

// ---- the conversation ----
class Server {
public:
    Server(Adapter& adapter, bool conditional) : adapter_(adapter), conditional_(conditional), input_(protocol.in) {}

    int run() {
        std::setvbuf(stdout, nullptr, _IOLBF, 0);  // what was printed before a crash is not lost in a buffer
        if (isatty(protocol.in)) std::fputs("This program is an adapter: conformance run cmd:PROGRAM starts it and asks.\n", stderr);
        try {
            for (std::string line; open_ && input_.line(line);) handle(Reader::read(line));
            return 0;
        } catch (const std::exception& error) {  // what follows cannot be understood
            std::fprintf(stderr, "%s: conformance.hpp: the request: %s\n", adapter_.name().c_str(), error.what());
            return 2;
        }
    }

private:
    Adapter& adapter_;
    bool conditional_, open_ = true;
    Input input_;
    int shared_in_ = -1, shared_out_ = -1;
    static constexpr std::array<std::string_view, 6> calls{"forward", "backward", "transposed", "transposed_backward",
                                                           "forward_mode", "double_backward"};
    struct Answer {
        Fields fields;
        Blob tensors;
        bool has_tensors = false;
    };

    void handle(const Json& request) {
        const auto seq = request["seq"].count();
        const auto bytes = static_cast<std::size_t>(request["bytes"].count());
        const std::string op = request["op"].string();
        const Json* where = request.find("where");
        const bool shared = where && where->string() == "shared" && bytes;
        const std::string piped = shared ? "" : input_.bytes(bytes);
        Answer answer = guarded([&] {
            if (!shared) return this->answer(op, request, piped);
            if (shared_in_ < 0) throw Malformed("no shared memory was offered");
            const Mapped mapped(shared_in_, bytes);
            return this->answer(op, request, mapped.view());
        });
        send(seq, std::move(answer));
    }

    static Answer failed(const char* fault, const std::string& type, const std::string& text) {
        return Answer{{{"answer", quote("error")}, {"fault", quote(fault)}, {"type", quote(type)}, {"text", quote(text)},
                       {"traceback", quote("")}}, {}};
    }
    template <class F> static Answer guarded(F&& compute) {
        const auto error = [](const char* fault, const std::string& text) {
            return failed(fault, type_of(abi::__cxa_current_exception_type()), text);
        };
        try {
            return compute();
        } catch (const Unsupported& reason) {
            return Answer{{{"answer", quote("unsupported")}, {"reason", quote(reason.what())}}, {}};
        } catch (const AdapterFault& fault) {
            return error("adapter", fault.what());
        } catch (const Malformed& fault) {
            return error("adapter", std::string("the request: ") + fault.what());
        } catch (const std::exception& failure) {
            return error("implementation", failure.what());
        } catch (...) {
            return error("implementation", "thrown, and no std::exception");
        }
    }

    Answer answer(const std::string& op, const Json& request, std::string_view blob) {
        if (op == "hello") return hello(request);
        if (op == "bye") return open_ = false, Answer{{{"answer", quote("bye")}}, {}};
        if (op == "unsupported") {
            const auto reason = adapter_.unsupported(geometry(request["geometry"]), dtype_of(request["dtype"].string()));
            return Answer{{{"answer", quote("reason")}, {"reason", reason ? quote(*reason) : "null"}}, {}};
        }
        const bool trains = op == "network" || op == "step";
        if (!trains && std::find(calls.begin(), calls.end(), op) == calls.end()) throw Unsupported("no " + op);
        Blob operands = decoded(blob);
        if (!trains && request.find("memory") && request["memory"].string() != "c")
            throw Unsupported("operands in memory " + request["memory"].string());
        if (const Json* sizes = request.find("spoil")) spoil(sizes->counts(), dtype_of(request["dtype"].string()));
        Blob results = trains ? asked(network(request["network"]), op, request["rate"], operands)
                              : asked(geometry(request["geometry"]), op, operands);
        Words modified;
        for (const auto& [name, tensor, offset] : operands)
            if (!tensor.bytes.empty() && std::memcmp(tensor.bytes.data(), blob.data() + offset, tensor.bytes.size()) != 0) modified.push_back(name);
        return {{{"answer", quote("tensors")}, {"modified", json(modified)}, {"aliased", "[]"}}, std::move(results), true};
    }

    Answer hello(const Json& request) {
        if (request["protocol"].integer() != 1) throw Malformed("only version 1 of the protocol is known");
        const auto routes = adapter_.routes();
        adapter_.route = request["route"].string();
        if (adapter_.route.empty() && !routes.empty()) adapter_.route = routes.front().first;
        const bool known = std::any_of(routes.begin(), routes.end(), [&](const auto& r) { return r.first == adapter_.route; });
        if (!known && !adapter_.route.empty())
            return failed("adapter", "AdapterNotFound", adapter_.name() + " has no route '" + adapter_.route + "'");
        auto versions = adapter_.versions();
#if defined(__clang__)
        versions.emplace("clang", __clang_version__);
#else
        versions.emplace("g++", __VERSION__);
#endif
        const Json& offered = request["shared"];
        if (offered.kind != Json::Kind::null) share(offered.counts());
        return Answer{{{"answer", quote("hello")}, {"protocol", "1"}, {"name", quote(adapter_.name())},
                       {"versions", strings(versions)}, {"language", quote(__cplusplus >= 202002L ? "C++ 20" : "C++ 17")},
                       {"routes", strings(routes)}, {"capabilities", json(adapter_.capabilities())}, {"conditional", json(conditional_)},
                       {"spoils", "true"}, {"shared", json(shared_in_ >= 0)}}, {}};
    }

    void share(const Shape& descriptors) {
        if (descriptors.size() != 2) throw Malformed("shared is not [in, out]");
        for (const auto d : descriptors)
            if (d > std::numeric_limits<int>::max() || fcntl(static_cast<int>(d), F_SETFD, FD_CLOEXEC) < 0) return;  // not inherited: the pipe
        shared_in_ = static_cast<int>(descriptors[0]), shared_out_ = static_cast<int>(descriptors[1]);
    }

    // ---- calls ----
    static Tensor* optional(Blob& operands, const std::string& name) {
        for (Named& operand : operands)
            if (operand.name == name) return &operand.tensor;
        return nullptr;
    }
    static Tensor& needed(Blob& operands, const std::string& name) {
        if (Tensor* found = optional(operands, name)) return *found;
        throw Malformed("it has no tensor " + name);
    }
    static void put(Blob& results, const std::string& name, std::optional<Tensor> tensor) {
        if (tensor) results.push_back({name, std::move(*tensor)});
    }

    Blob asked(const Geometry& g, const std::string& op, Blob& operands) {
        const Tensor &x = needed(operands, "x"), &w = needed(operands, "w"), *b = optional(operands, "b");
        const Tensor *u = optional(operands, "u"), *v = optional(operands, "v"), *r = optional(operands, "r");
        const auto delta = [&]() -> const Tensor& { return needed(operands, "delta"); };
        const auto gradients = [](Gradients found) {
            Blob results;
            put(results, "dx", std::move(found.dx)), put(results, "dw", std::move(found.dw)), put(results, "db", std::move(found.db));
            return results;
        };
        if (op == "forward") return {{"y", adapter_.forward(g, x, w, b)}};
        if (op == "backward") return gradients(adapter_.backward(g, x, w, b, delta()));
        if (op == "transposed") return {{"y", adapter_.transposed(g, x, w, b)}};
        if (op == "transposed_backward") return gradients(adapter_.transposed_backward(g, x, w, b, delta()));
        if (op == "forward_mode") return {{"dy", adapter_.forward_mode(g, x, w, b, u, v, r)}};
        SecondGradients found = adapter_.double_backward(g, x, w, b, delta(), u, v, r);
        Blob results;
        put(results, "dx", std::move(found.dx)), put(results, "dw", std::move(found.dw)), put(results, "ddelta", std::move(found.ddelta));
        return results;
    }

    Blob asked(const Network& net, const std::string& op, const Json& rate, Blob& operands) {
        const Tensor &x = needed(operands, "x"), &target = needed(operands, "target");
        std::vector<Parameters> params;  // the operands themselves: moved there, and back after the call
        for (std::size_t l = 1; l <= net.layers.size(); ++l) {
            Tensor* b = optional(operands, "b" + std::to_string(l));
            Parameters layer{std::move(needed(operands, "w" + std::to_string(l))), std::nullopt};
            if (b) layer.b = std::move(*b);
            params.push_back(std::move(layer));
        }
        Blob results = op == "step" ? stepped(adapter_.step(net, x, target, params, rate.number()))
                                    : trained(adapter_.network(net, x, target, params));
        for (std::size_t l = 1; l <= params.size(); ++l) {
            needed(operands, "w" + std::to_string(l)) = std::move(params[l - 1].w);
            if (params[l - 1].b) needed(operands, "b" + std::to_string(l)) = std::move(*params[l - 1].b);
        }
        return results;
    }
    static Blob stepped(std::vector<Parameters> params) {
        Blob results;
        pairs(results, std::move(params), "");
        return results;
    }
    static Blob trained(NetworkResults found) {
        Blob results;
        put(results, "cost", std::move(found.cost));
        for (std::size_t l = 0; l < found.deltas.size(); ++l) put(results, "delta" + std::to_string(l + 1), std::move(found.deltas[l]));
        pairs(results, std::move(found.gradients), "d");
        return results;
    }
    static void pairs(Blob& results, std::vector<Parameters> all, const std::string& prefix) {
        for (std::size_t l = 0; l < all.size(); ++l) {
            put(results, prefix + "w" + std::to_string(l + 1), std::move(all[l].w));
            put(results, prefix + "b" + std::to_string(l + 1), std::move(all[l].b));
        }
    }

    void send(std::int64_t seq, Answer answer) {
        constexpr std::size_t large = std::size_t{1} << 16;
        const std::string header = answer.has_tensors ? header_of(answer.tensors) : "";
        std::size_t bytes = header.size();
        for (const Named& t : answer.tensors) bytes += t.tensor.bytes.size();
        const bool shared = shared_out_ >= 0 && bytes >= large;
        if (answer.has_tensors) answer.fields.emplace_back("where", quote(shared ? "shared" : "pipe"));
        answer.fields.emplace_back("seq", json(seq));
        answer.fields.emplace_back("bytes", json(static_cast<std::int64_t>(bytes)));
        const std::string line = object(answer.fields) + "\n" + (shared ? "" : header);
        if (shared) blob(shared_out_, header, answer.tensors);  // before the line that says it is there
        write_all(protocol.out, line.data(), line.size());
        if (!shared) blob(protocol.out, "", answer.tensors, -1);
    }
    static void blob(int descriptor, const std::string& header, const Blob& tensors, off_t offset = 0) {
        const auto put = [&](const void* from, std::size_t count) {
            write_all(descriptor, from, count, offset);
            if (offset >= 0) offset += static_cast<off_t>(count);
        };
        put(header.data(), header.size());
        for (const Named& t : tensors) put(t.tensor.bytes.data(), t.tensor.bytes.size());
    }
};
}  // namespace detail

// Answers requests until the input ends; the exit status: 0, or 2 if a request could not be understood.
template <class A> int serve(A& adapter) {
    static_assert(std::is_base_of_v<Adapter, A>, "an adapter derives from conformance::Adapter");
    constexpr bool conditional = !std::is_same_v<decltype(&A::unsupported), decltype(&Adapter::unsupported)>;
    detail::take_descriptors();
    return detail::Server(adapter, conditional).run();
}

}  // namespace conformance

#endif
