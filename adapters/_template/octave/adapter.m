% The template: plain loops in the place of an implementation.  Every product is visited once, for all items of the batch.

1;  % a script

function y = forward (g, x, w, b)
  conformance_check (g, "x", x, "w", w, "b", b);
  [x, w, b] = deal (double (x), double (w), double (b));
  y = zeros (g.batch, g.maps, prod (g.output));
  for visit = products (g)
    [m, c, k, o, i, t] = num2cell (visit){:};
    y(:, m, o) += x(:, c, i) * w(m, k, t);
  end
  if ! strcmp (g.bias, "none")
    y += reshape (b, 1, g.maps, []);  % tied: one for all positions
  end
  y = reshape (y, [g.batch, g.maps, g.output]);
end

function [dx, dw, db] = backward (g, x, w, b, delta)
  conformance_check (g, "x", x, "w", w, "b", b, "delta", delta);
  [x, w, delta] = deal (double (x), double (w), reshape (double (delta), g.batch, g.maps, prod (g.output)));
  dx = zeros (g.batch, g.channels, prod (g.size));
  dw = zeros (g.maps, g.channels / g.groups, prod (g.kernel));
  for visit = products (g)
    [m, c, k, o, i, t] = num2cell (visit){:};
    dx(:, c, i) += delta(:, m, o) * w(m, k, t);
    dw(m, k, t) += sum (delta(:, m, o) .* x(:, c, i));
  end
  dx = reshape (dx, [g.batch, g.channels, g.size]);
  dw = reshape (dw, [g.maps, g.channels / g.groups, g.kernel]);
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

% [map; channel of x; channel of w; output; position of x; tap], one product a column: y(o) += x(o stride + t dilation - padding) w(t).
% Positions and taps are numbered with the first axis fastest, as Octave does.
function all = products (g)
  places = reached (g);
  [k, m, p] = ndgrid (1:g.channels / g.groups, 1:g.maps, 1:columns (places));
  c = floor ((m - 1) * g.groups / g.maps) * g.channels / g.groups + k;
  all = [m(:)'; c(:)'; k(:)'; places(:, p(:))];
end

% [output; position of x; tap] of one map and one channel: those that lie in x, not in the padding.
function places = reached (g)
  [o, t] = deal (grid (g.output), grid (g.kernel));
  [tap, out] = ndgrid (1:columns (t), 1:columns (o));
  read = o(:, out) .* g.stride' + t(:, tap) .* g.dilation' - g.padding(:, 1);
  inside = all (read >= 0 & read < g.size', 1);
  slid = tap(:)';
  if strcmp (g.convention, "convolution")
    slid = columns (t) + 1 - slid;
  end
  strides = cumprod ([1, g.size(1:end - 1)]);
  places = [out(:)'; 1 + strides * read; slid](:, inside);
end

% All places of a grid, counted from 0, one a column, the first axis fastest.
function all = grid (sizes)
  counts = arrayfun (@(n) 0:n - 1, [sizes, 1], "UniformOutput", false);
  [axes{1:numel (counts)}] = ndgrid (counts{:});
  all = cell2mat (cellfun (@(a) a(:)', axes(1:numel (sizes))', "UniformOutput", false));
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
