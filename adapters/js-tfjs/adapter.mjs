// TensorFlow.js on its CPU backend: x is NHWC, w is HWIO, all is float32.

import { serve, shapes } from "./conformance.mjs"; // first: what tfjs prints cannot disturb the protocol
import * as tf from "@tensorflow/tfjs";
import { layer, transposed } from "./layer.mjs";
import { backpropagated, stepped } from "./network.mjs";

await tf.setBackend("cpu");

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
const network = {
  activations: ["identity", "relu", "leaky", "sigmoid", "tanh", "softplus", "softmax"],
  costs: ["quadratic", "cross-entropy"],
  step: true,
};
const one = (numbers) => numbers.every((n) => n === 1);
const ROUTES = {
  grads: { capabilities: { ...capabilities, network } },
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

  network: backpropagated,
  step: stepped,
});
