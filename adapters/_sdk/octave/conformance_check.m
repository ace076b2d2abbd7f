% conformance_check (G, NAME, ARRAY, ...): an error if an operand's sizes are not the ones that the geometry gives.
%
%     conformance_check (g, "x", x, "w", w, "b", b, "delta", delta)

function conformance_check (g, varargin)
  y = [g.batch, g.maps, g.output];
  bias = struct ("none", [0, 0], "tied", [g.maps, 1], "untied", y(2:end)).(g.bias);
  needed = struct ("x", [g.batch, g.channels, g.size], "w", [g.maps, g.channels / g.groups, g.kernel], "b", bias, "delta", y);
  for k = 1:2:numel (varargin)
    [name, must, is] = deal (varargin{k}, needed.(varargin{k}), size (varargin{k + 1}));
    axes = max (numel (must), numel (is));
    if ! isequal ([is, ones(1, axes - numel (is))], [must, ones(1, axes - numel (must))])
      error ("%s has size %s, but this geometry needs %s", name, mat2str (is), mat2str (must));
    end
  end
end
