// TensorFlow.js on its CPU backend: x is NHWC, w is HWIO, all is float32.

import { serve, shapes, Unsupported } from "./conformance.mjs"; // first: what tfjs prints cannot disturb the protocol
import * as tf from "@tensorflow/tfjs";

await tf.setBackend("cpu");

const FORMATS = { 1: "NWC", 2: "NHWC", 3: "NDHWC" };
const axes = (g) => [...g.size.keys()];
const one = (numbers) => numbers.every((n) => n === 1);

// ---- y ----
/** y of tensors x, w and, where there is one, b: what tf.grads differentiates. */
const layer = (g, fused) => (x, w, b) => {
  const turned = g.convention === "convolution" ? tf.reverse(w, axes(g)) : w;
  const native = g.groups === 1 ? turned : tf.reshape(turned, [...g.kernel, g.channels, g.maps / g.groups]);
  const read = explicit(g) ? x : padded(g, x);
  const pad = explicit(g) ? [[0, 0], ...g.padding, [0, 0]] : "valid";
  const bias = b && (g.bias === "untied" ? tf.transpose(b, [...axes(g).map((axis) => axis + 1), 0]) : b);
  if (fused) return fusedWith(g)({ x: read, filter: native, strides: g.stride, pad, bias });
  const y = convolution(g)(read, native, each(g.stride), pad, FORMATS[g.size.length], each(g.dilation));
  return b ? tf.add(y, bias) : y;
};

const each = (numbers) => (numbers.length === 1 ? numbers[0] : numbers);
const convolution = (g) => (g.groups > 1 ? tf.depthwiseConv2d : [tf.conv1d, tf.conv2d, tf.conv3d][g.size.length - 1]);
const fusedWith = (g) => (g.groups > 1 ? tf.fused.depthwiseConv2d : tf.fused.conv2d);

/** Only two axes can be padded by the convolution itself: begin and end of each. */
const explicit = (g) => g.size.length === 2 && g.padding.flat().every((n) => n >= 0);

function padded(g, x) {
  const added = tf.pad(x, [[0, 0], ...g.padding.map((pair) => pair.map((n) => Math.max(n, 0))), [0, 0]]);
  const begin = [0, ...g.padding.map(([lo]) => Math.max(-lo, 0)), 0];
  const end = [0, ...g.padding.map(([, hi]) => Math.max(-hi, 0)), 0];
  return tf.slice(added, begin, added.shape.map((size, axis) => size - begin[axis] - end[axis]));
}

/** Of the transposed convolution: tfjs takes the shape of the result, and so needs no output padding. */
const transposed = (g) => (x, w, b) => {
  if (!explicit(g) || g.groups > 1) throw new Unsupported("tf.conv2dTranspose has two axes and no groups, and does not crop");
  const turned = g.convention === "convolution" ? tf.reverse(w, axes(g)) : w;
  const y = tf.conv2dTranspose(x, turned, [g.batch, ...g.size, g.channels], g.stride, [[0, 0], ...g.padding, [0, 0]]);
  return b ? tf.add(y, b) : y;
};

// ---- calls ----
/** tf.add would broadcast a bias of another shape. */
function checked(b, needed) {
  if (b && `${b.shape}` !== `${needed}`) throw new RangeError(`b has shape ${b.shape}, but this geometry needs ${needed}`);
}

const tensors = (operands) => operands.filter(Boolean).map(({ data, shape }) => tf.tensor(data, shape));
const result = (t) => ({ shape: t.shape, data: t.dataSync() });
const y = (f, ...operands) => tf.tidy(() => result(f(...tensors(operands))));

/** Gradients of f by all operands, for an error delta. */
const gradients = (f, delta, ...operands) =>
  tf.tidy(() => {
    const [dx, dw, db] = tf.grads(f)(tensors(operands), ...tensors([delta])).map(result);
    return { dx, dw, db };
  });

const capabilities = {
  ranks: [1, 2, 3],
  dtypes: ["float32"],
  stride: true,
  padding: "negative",
  groups: true,
  biases: ["none", "tied", "untied"],
  convention: "both",
  x_layout: "NHWC",
  w_layout: "HWIO",
  operations: ["transposed"],
  empty_batch: true,
  // y is added up in its float32 array; the gradients in a number of JavaScript, a float64, and then stored
  arithmetic: { float32: { y: {}, dx: { accumulator: "f64" }, dw: { accumulator: "f64" }, db: { accumulator: "f64" } } },
};
const ROUTES = {
  grads: { capabilities },
  fused: { capabilities: { ...capabilities, ranks: [2], operations: [] } },
  dilated: { capabilities: { ...capabilities, dilation: true, quantities: ["y"], operations: [] } },
};

await serve({
  name: "js-tfjs",
  versions: { tfjs: tf.version.tfjs },
  routes: {
    grads: "tf.conv1d, conv2d, conv3d and depthwiseConv2d; gradients by tf.grads",
    fused: "tf.fused.conv2d and depthwiseConv2d with the bias inside; gradients by tf.grads",
    dilated: "y alone, with dilation, which the gradients do not have",
  },

  get capabilities() {
    return ROUTES[this.route].capabilities;
  },

  unsupported(g) {
    if (g.groups > 1 && g.groups < g.channels) return "groups only as depthwise convolution";
    if (g.groups > 1 && g.size.length !== 2) return "tf.depthwiseConv2d has two axes";
    return one(g.stride) || one(g.dilation) ? null : "tfjs has stride or dilation, not both";
  },

  forward(g, x, w, b) {
    checked(b, shapes(g).b);
    return y(layer(g, this.route === "fused"), x, w, b);
  },

  backward(g, x, w, b, delta) {
    checked(b, shapes(g).b);
    return gradients(layer(g, this.route === "fused"), delta, x, w, b);
  },

  transposed(g, x, w, b) {
    checked(b, [g.channels]);
    return y(transposed(g), x, w, b);
  },

  transposed_backward(g, x, w, b, delta) {
    checked(b, [g.channels]);
    return gradients(transposed(g), delta, x, w, b);
  },
});
