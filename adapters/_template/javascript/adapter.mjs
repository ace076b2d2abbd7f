// The template: plain loops in the place of an implementation.  Every product is visited once, whatever the geometry.

import { check, serve, shapes } from "./conformance.mjs"; // first: what later imports print cannot disturb the protocol

const product = (sizes) => sizes.reduce((n, size) => n * size, 1);
const zeros = (shape) => ({ shape, data: new Float64Array(product(shape)) });

/** The places of a grid, each as one index an axis, last axis fastest. */
function* places(sizes) {
  if (sizes.length === 0) return yield [];
  for (const place of places(sizes.slice(0, -1))) for (let i = 0; i < sizes.at(-1); i++) yield [...place, i];
}

/** The number of a place in C order; -1 if it lies outside. */
function numbered(place, sizes) {
  if (place.some((i, axis) => i < 0 || i >= sizes[axis])) return -1;
  return place.reduce((n, i, axis) => n * sizes[axis] + i, 0);
}

/** Visits [y, x, w], the flat indices of all products: y[o] += x[o * stride + t * dilation - padding] * w[t]. */
function* products(g) {
  const depth = g.channels / g.groups;
  const [out, size, taps] = [g.output, g.size, g.kernel].map(product);
  for (const [n, m, c] of places([g.batch, g.maps, depth])) {
    const channel = Math.floor((m * g.groups) / g.maps) * depth + c;
    for (const [o, position] of [...places(g.output)].entries())
      for (const [t, tap] of [...places(g.kernel)].entries()) {
        const read = position.map((i, a) => i * g.stride[a] + tap[a] * g.dilation[a] - g.padding[a][0]);
        const i = numbered(read, g.size);
        const turned = g.convention === "convolution" ? taps - 1 - t : t;
        if (i >= 0) yield [(n * g.maps + m) * out + o, (n * g.channels + channel) * size + i, (m * depth + c) * taps + turned];
      }
  }
}

/** [y, b], the flat indices of a bias and of where it is added. */
function* biased(g) {
  const out = product(g.output);
  for (let y = 0; y < g.batch * g.maps * out; y++)
    yield [y, g.bias === "untied" ? y % (g.maps * out) : Math.floor(y / out) % g.maps];
}

/** A result in the type of the operands: sums are kept in float64, and rounded once. */
const rounded = ({ shape, data }, like) => ({ shape, data: like.data.constructor.from(data) });

function forward(g, x, w, b) {
  check(g, { x, w, b });
  const y = zeros(shapes(g).y);
  for (const [o, i, t] of products(g)) y.data[o] += x.data[i] * w.data[t];
  if (b) for (const [o, m] of biased(g)) y.data[o] += b.data[m];
  return rounded(y, x);
}

function backward(g, x, w, b, delta) {
  check(g, { x, w, b, delta });
  const [dx, dw, db] = [x, w, b].map((operand) => operand && zeros(operand.shape));
  for (const [o, i, t] of products(g)) {
    dx.data[i] += delta.data[o] * w.data[t];
    dw.data[t] += delta.data[o] * x.data[i];
  }
  if (b) for (const [o, m] of biased(g)) db.data[m] += delta.data[o];
  return { dx: rounded(dx, x), dw: rounded(dw, x), db: db && rounded(db, x) };
}

const capabilities = {
  ranks: [1, 2, 3],
  dtypes: ["float64", "float32"],
  stride: true,
  padding: "negative",
  dilation: true,
  groups: true,
  biases: ["none", "tied", "untied"],
  convention: "both",
  empty_batch: true,
  arithmetic: Object.fromEntries(
    ["float64", "float32"].map((dtype) => [
      dtype,
      Object.fromEntries(["y", "dx", "dw", "db"].map((quantity) => [quantity, { accumulator: "f64" }])),
    ]),
  ),
};

await serve({ name: "my-cnn", capabilities, forward, backward });
