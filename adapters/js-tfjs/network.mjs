// Whole networks: costs of tf.losses, deltas as gradients by zeros that are added to every z, a step of tf.train.sgd.

import * as tf from "@tensorflow/tfjs";
import { layer } from "./layer.mjs";

const ACTIVATIONS = {
  identity: (z) => z,
  relu: tf.relu,
  leaky: (z, slope) => tf.leakyRelu(z, slope),
  sigmoid: tf.sigmoid,
  tanh: tf.tanh,
  softplus: tf.softplus,
};
const { SUM } = tf.Reduction;

const tensor = (a) => a && tf.tensor(a.data, a.shape);
const result = (t) => t && { shape: t.shape, data: t.dataSync() };

/** The cost of what the last z gives: sums, not means. */
function costOf(net, z, target) {
  const { activation, slope } = net.layers.at(-1);
  if (net.cost === "quadratic") {
    const a = ACTIVATIONS[activation](z, slope);
    return tf.mul(tf.losses.meanSquaredError(target, a, undefined, SUM), 0.5);
  }
  const loss = activation === "softmax" ? tf.losses.softmaxCrossEntropy : tf.losses.sigmoidCrossEntropy;
  return loss(target, z, undefined, 0, SUM);
}

/** The cost of x; `moved` is given each z and its number, and what it returns goes on. */
function forward(net, x, target, params, moved = (z) => z) {
  let a = x;
  for (const [l, { geometry, activation, slope }] of net.layers.entries()) {
    const z = moved(layer(geometry, false)(a, params[l].w, params[l].b), l);
    if (l === net.layers.length - 1) return costOf(net, z, target);
    a = ACTIVATIONS[activation](z, slope);
  }
}

export function backpropagated(net, x, target, params) {
  return tf.tidy(() => {
    const zeros = net.layers.map(({ geometry: g }) => tf.zeros([g.batch, ...g.output, g.maps]));
    const leaves = params.flatMap(({ w, b }) => [tensor(w), tensor(b)].filter(Boolean));
    const paired = (list) => params.map(({ b }) => ({ w: list.shift(), b: b ? list.shift() : null }));
    const [input, wanted] = [tensor(x), tensor(target)];
    const cost = (...all) => {
      const shifts = all.splice(0, zeros.length);
      return forward(net, input, wanted, paired(all), (z, l) => tf.add(z, shifts[l]));
    };
    const { value, grads } = tf.valueAndGrads(cost)([...zeros, ...leaves]);
    const deltas = grads.splice(0, zeros.length).map(result);
    const gradients = paired(grads).map(({ w, b }) => ({ dw: result(w), db: result(b) }));
    return { cost: result(value), deltas, gradients };
  });
}

export function stepped(net, x, target, params, rate) {
  const variables = params.map(({ w, b }) => ({ w: tf.variable(tensor(w)), b: b && tf.variable(tensor(b)) }));
  const all = variables.flatMap(({ w, b }) => [w, b].filter(Boolean));
  const optimizer = tf.train.sgd(rate);
  try {
    tf.tidy(() => void optimizer.minimize(() => forward(net, tensor(x), tensor(target), variables), false, all));
    return variables.map(({ w, b }) => ({ w: result(w), b: result(b) }));
  } finally {
    tf.dispose(all);
    optimizer.dispose();
  }
}
