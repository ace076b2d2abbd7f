% conv2 and convn, in the post's own notation: README.md has the correspondence.  One map, one channel, one item at a time:
% X is the padded input as far as outputs read it, K the kernel that the true convolution slides, with zeros between its taps,
% D the error with zeros between its elements.

1;  % a script

function y = convolved (a, k, shape)
  if ndims (a) > 2 || ndims (k) > 2
    y = convn (a, k, shape);
  else
    y = conv2 (a, k, shape);
  end
end

function a = rot180 (a)
  if ndims (a) > 2
    a = reshape (flip (a(:)), size (a));
  else
    a = rot90 (a, 2);
  end
end

% ---- the layer ----
function y = forward (g, x, w, b)
  conformance_check (g, "x", x, "w", w, "b", b);
  y = zeros (g.batch, g.maps, prod (g.output), class (x));
  for pair = pairs (g)
    [m, c, k] = deal (num2cell (pair){:});
    K = slid (g, w, m, k);
    for n = 1:g.batch
      Y = convolved (readable (g, x, n, c), K, "valid");
      y(n, m, :) += reshape (Y(every (g.stride, size (Y)){:}), 1, 1, []);
    end
  end
  if strcmp (g.bias, "tied")
    y += reshape (b, 1, []);
  elseif strcmp (g.bias, "untied")
    y += reshape (b, 1, g.maps, []);
  end
  y = reshape (y, [g.batch, g.maps, g.output]);
end

function [dx, dw, db] = backward (g, x, w, b, delta)
  conformance_check (g, "x", x, "w", w, "b", b, "delta", delta);
  dx = zeros (g.batch, g.channels, prod (g.size), class (x));
  dw = zeros (g.maps, g.channels / g.groups, prod (g.kernel), class (w));
  for pair = pairs (g)
    [m, c, k] = deal (num2cell (pair){:});
    K = slid (g, w, m, k);
    for n = 1:g.batch
      D = stuffed (reshape (delta(n, m, :), [g.output, 1]), g.stride);
      dx(n, c, :) += unread (g, convolved (D, rot180 (K), "full"));
      dK = convolved (rot180 (readable (g, x, n, c)), D, "valid");
      dw(m, k, :) += reshape (turned (g, dK(every (g.dilation, size (dK)){:})), 1, 1, []);
    end
  end
  dx = reshape (dx, [g.batch, g.channels, g.size]);
  dw = reshape (dw, [g.maps, g.channels / g.groups, g.kernel]);
  db = of_bias (g, delta);
end

function db = of_bias (g, delta)
  switch g.bias
    case "none"
      db = [];
    case "tied"
      db = sum (sum (reshape (delta, g.batch, g.maps, []), 3), 1)(:);
    case "untied"
      db = reshape (sum (delta, 1), [g.maps, g.output]);
  end
end

% ---- what is read ----
% [map; its channel in x; its channel in w], one a column.
function all = pairs (g)
  [k, m] = ndgrid (1:g.channels / g.groups, 1:g.maps);
  group = floor ((m - 1) * g.groups / g.maps);
  all = [m(:), (group(:) * g.channels / g.groups + k(:)), k(:)]';
end

% The kernel that a true convolution slides: w, or w rotated if the layer correlates.
function k = turned (g, k)
  if strcmp (g.convention, "correlation")
    k = rot180 (k);
  end
end

function K = slid (g, w, m, k)
  K = stuffed (turned (g, reshape (w(m, k, :), [g.kernel, 1])), g.dilation);
end

% step - 1 zeros between elements that are neighbours along an axis.
function all = stuffed (a, step)
  sizes = size (a);
  sizes(end + 1 : numel (step)) = 1;
  step(end + 1 : numel (sizes)) = 1;
  all = zeros ((sizes - 1) .* step + 1, class (a));
  all(every (step, size (all)){:}) = a;
end

% Every step-th place along each axis, as an index.
function index = every (step, sizes)
  sizes(end + 1 : numel (step)) = 1;
  step(end + 1 : numel (sizes)) = 1;
  index = arrayfun (@(s, n) 1:s:n, step, sizes, "UniformOutput", false);
end

% The places that X and an item of x share, as indices into each: padding adds zeros around it, or crops it.
function [there, here, sizes] = shared (g)
  sizes = (g.output - 1) .* g.stride + g.dilation .* (g.kernel - 1) + 1;
  begin = g.padding(:, 1)';
  there = arrayfun (@(lo, n, i) max (1, 1 + lo):min (n, i + lo), begin, sizes, g.size, "UniformOutput", false);
  here = cellfun (@(places, lo) places - lo, there, num2cell (begin), "UniformOutput", false);
end

function X = readable (g, x, n, c)
  [there, here, sizes] = shared (g);
  item = reshape (x(n, c, :), [g.size, 1]);
  X = zeros ([sizes, 1], class (x));
  X(there{:}) = item(here{:});
end

function row = unread (g, X)
  [there, here] = shared (g);
  item = zeros ([g.size, 1], class (X));
  item(here{:}) = X(there{:});
  row = reshape (item, 1, 1, []);
end

% ---- what it is ----
adapter.name = "octave-conv2";
adapter.capabilities.ranks = [1, 2, 3];
adapter.capabilities.dtypes = {"float64", "float32"};
adapter.capabilities.stride = true;
adapter.capabilities.padding = "negative";
adapter.capabilities.dilation = true;
adapter.capabilities.groups = true;
adapter.capabilities.biases = {"none", "tied", "untied"};
adapter.capabilities.convention = "both";
adapter.capabilities.empty_batch = true;
adapter.capabilities.arithmetic = struct ("float64", struct (), "float32", struct ());  % direct sums, in the class of x
adapter.forward = @forward;
adapter.backward = @backward;
conformance_serve (adapter);
