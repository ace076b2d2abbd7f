% The template: the sums of a layer, tap by tap, in the place of an implementation.

1;  % a script

function y = forward (g, x, w, b)
  conformance_check (g, "x", x, "w", w, "b", b);
  y = zeros (g.batch, g.maps, prod (g.output));
  for tap = 1:prod (g.kernel)
    [out, read, t] = reached (g, tap);
    for pair = pairs (g)
      [m, c, k] = num2cell (pair){:};
      y(:, m, out) += x(:, c, read) * w(m, k, t);
    end
  end
  if ! strcmp (g.bias, "none")
    y += reshape (b, 1, g.maps, []);  % tied: one for all positions
  end
  y = reshape (y, [g.batch, g.maps, g.output]);
end

function [dx, dw, db] = backward (g, x, w, b, delta)
  conformance_check (g, "x", x, "w", w, "b", b, "delta", delta);
  delta = reshape (delta, g.batch, g.maps, prod (g.output));
  dx = zeros (g.batch, g.channels, prod (g.size));
  dw = zeros (g.maps, g.channels / g.groups, prod (g.kernel));
  for tap = 1:prod (g.kernel)
    [out, read, t] = reached (g, tap);
    for pair = pairs (g)
      [m, c, k] = num2cell (pair){:};
      dx(:, c, read) += delta(:, m, out) * w(m, k, t);
      dw(m, k, t) = sum ((delta(:, m, out) .* x(:, c, read))(:));
    end
  end
  dx = reshape (dx, [g.batch, g.channels, g.size]);
  dw = reshape (dw, [g.maps, g.channels / g.groups, g.kernel]);
  db = of_bias (g, delta);
end

function db = of_bias (g, delta)
  db = sum (delta, 1);
  switch g.bias
    case "none"
      db = [];
    case "tied"
      db = sum (db, 3)(:);
    case "untied"
      db = reshape (db, [g.maps, g.output]);
  end
end

% [map; its channel of x; its channel of w], one a column.
function all = pairs (g)
  [k, m] = ndgrid (1:g.channels / g.groups, 1:g.maps);
  c = floor ((m - 1) * g.groups / g.maps) * g.channels / g.groups + k;
  all = [m(:), c(:), k(:)]';
end

% The outputs, and for each the position of x, that meet at a tap: output * stride + tap * dilation - padding, where that lies
% in x.  All are numbered with the first axis fastest, as Octave does; t is the number of the tap in w.
function [out, read, t] = reached (g, tap)
  at = grid (g.output) .* g.stride' + grid (g.kernel)(:, tap) .* g.dilation' - g.padding(:, 1);
  out = find (all (at >= 0 & at < g.size', 1));
  read = 1 + cumprod ([1, g.size(1:end - 1)]) * at(:, out);
  t = tap;
  if strcmp (g.convention, "convolution")
    t = prod (g.kernel) + 1 - tap;
  end
end

% All places of a grid, counted from 0, one a column, the first axis fastest.
function places = grid (sizes)
  counts = arrayfun (@(n) 0:n - 1, [sizes, 1], "UniformOutput", false);
  [axes{1:numel (counts)}] = ndgrid (counts{:});
  places = cell2mat (cellfun (@(a) a(:)', axes(1:numel (sizes))', "UniformOutput", false));
end

adapter.name = "my-cnn";
adapter.capabilities.ranks = [1, 2, 3];
adapter.capabilities.dtypes = "float64";
adapter.capabilities.stride = true;
adapter.capabilities.padding = "negative";
adapter.capabilities.dilation = true;
adapter.capabilities.groups = true;
adapter.capabilities.biases = {"none", "tied", "untied"};
adapter.capabilities.convention = "both";
adapter.capabilities.empty_batch = true;
adapter.forward = @forward;
adapter.backward = @backward;
conformance_serve (adapter);
