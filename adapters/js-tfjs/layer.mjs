// One layer, as a function of tensors that tf.grads can differentiate.

import { Unsupported } from "./conformance.mjs";
import * as tf from "@tensorflow/tfjs";

const FORMATS = { 1: "NWC", 2: "NHWC", 3: "NDHWC" };
const axes = (g) => [...g.size.keys()];

/** y of tensors x, w and, where there is one, b; fused: by tfjs's fused operations. */
export const layer = (g, fused) => (x, w, b) => {
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
export const transposed = (g) => (x, w, b) => {
  if (!explicit(g) || g.groups > 1) throw new Unsupported("tf.conv2dTranspose has two axes and no groups, and does not crop");
  const turned = g.convention === "convolution" ? tf.reverse(w, axes(g)) : w;
  const y = tf.conv2dTranspose(x, turned, [g.batch, ...g.size, g.channels], g.stride, [[0, 0], ...g.padding, [0, 0]]);
  return b ? tf.add(y, b) : y;
};
