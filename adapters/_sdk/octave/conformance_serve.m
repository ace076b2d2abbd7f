% conformance_serve (ADAPTER): the wire protocol (adapters/PROTOCOL.md) for GNU Octave 7 and later.  A whole adapter.m:
%
%     1;  % a script
%     function y = forward (g, x, w, b)
%       conformance_check (g, "x", x, "w", w, "b", b);  % only where the implementation does not check shapes itself
%       y = my_cnn_forward (x, w, b, g.stride(1), g.padding(1, 1));
%     end
%     function [dx, dw, db] = backward (g, x, w, b, delta)
%       [dx, dw, db] = my_cnn_backward (x, w, b, delta, g.stride(1), g.padding(1, 1));  % []: not offered, or no bias
%     end
%     adapter.name = "octave-my-cnn";
%     adapter.capabilities.ranks = 2;
%     adapter.capabilities.dtypes = {"float64", "float32"};
%     adapter.capabilities.stride = true;
%     adapter.forward = @forward;
%     adapter.backward = @backward;
%     conformance_serve (adapter);
%
% x is N x C x H x W, w is M x C/G x KH x KW, b is M x 1 or M x O..., double or single.  Octave drops axes of length 1 at
% the end: take sizes from g, not from arrays.  g has the fields of the protocol's geometry; sizes are rows, padding is
% [begin end] an axis.
% More fields, all of which may be left out: versions and routes (structs of text), unsupported (g, dtype) -> reason or "",
% transposed, transposed_backward, double_backward, forward_mode.  Instead of a struct, a function of the route's name that
% gives one may be handed over.  To say while computing that a problem is not offered:
% error ("conformance:unsupported", reason).  Operands need no watching: Octave passes by value.

function conformance_serve (adapter)
  % the protocol's own streams; what is printed goes to standard error
  [in, out] = deal (fopen ("/dev/fd/0", "rb"), fopen ("/dev/fd/1", "wb"));
  dup2 (fopen ("/dev/null", "rb"), stdin);
  dup2 (stderr, stdout);
  page_output_immediately (true);
  sigterm_dumps_octave_core (false);
  while ! isempty (text = fscanf (in, "%[^\n]", 1))  % fgetl would wait for a character of the line behind it
    fread (in, 1);  % the end of the line
    request = jsondecode (text);
    blob = fread (in, request.bytes, "uint8=>uint8");
    if is_function_handle (adapter)  % the first message is hello
      adapter = adapter (request.route);
    end
    [answer, tensors] = answered (adapter, request, unpacked (blob));
    blob = packed (tensors);
    text = sprintf ('%s,"seq":%d,"bytes":%d}', jsonencode (answer)(1:end - 1), request.seq, numel (blob));
    fwrite (out, [uint8(text), uint8("\n"), blob]);
    fflush (out);
    if strcmp (request.op, "bye")
      break
    end
  end
  exit (0);
end

function [answer, tensors] = answered (adapter, request, operands)
  tensors = struct ();
  fault = "adapter";
  try
    switch request.op
      case "hello"
        answer = hello (adapter, request.route);
      case "bye"
        answer.answer = "bye";
      case "unsupported"
        reason = adapter.unsupported (geometry (request), request.dtype);
        answer = struct ("answer", "reason", "reason", merge (isempty (reason), NaN, reason));  % NaN is null in JSON
      otherwise
        [reads, gives] = call (adapter, request.op);
        operands = cellfun (@(name) of (operands, name, []), reads, "UniformOutput", false);  % []: no bias
        g = geometry (request);
        fault = "implementation";
        [results{1:numel (gives)}] = adapter.(request.op) (g, operands{:});
        fault = "adapter";
        tensors = kept (g, gives, results);
        answer = struct ("answer", "tensors", "modified", {{}}, "aliased", {{}}, "where", "pipe");
    end
  catch problem
    answer = told (problem, fault);
  end
end

function answer = told (problem, fault)
  if strcmp (problem.identifier, "conformance:unsupported")
    answer = struct ("answer", "unsupported", "reason", problem.message);
    return
  end
  frames = arrayfun (@(f) sprintf ("%s:%d\n", f.name, f.line), problem.stack, "UniformOutput", false);
  answer = struct ("answer", "error", "fault", fault, "text", problem.message, "traceback", [frames{:}, ""], ...
                   "type", regexprep (problem.identifier, {"^conformance:", "^$"}, {"", "error"}, "emptymatch"));
end

function answer = hello (adapter, route)
  routes = of (adapter, "routes", struct ());
  if ! isempty (route) && ! isfield (routes, route)
    there = strjoin (fieldnames (routes)', ", ");
    error ("conformance:AdapterNotFound", "%s has no route '%s'; it has %s", adapter.name, route, there);
  end
  can = adapter.capabilities;
  can.memories = "c";
  for name = intersect (fieldnames (can)', {"ranks", "dtypes", "biases", "quantities", "operations", "memories"})
    if ischar (can.(name{1})) || isnumeric (can.(name{1})) && isscalar (can.(name{1}))
      can.(name{1}) = {can.(name{1})};  % a list in JSON, of one element too
    end
  end
  answer = struct ("answer", "hello", "protocol", 1, "name", adapter.name, ...
                   "versions", of (adapter, "versions", struct ()), "language", ["Octave ", OCTAVE_VERSION], ...
                   "routes", routes, "capabilities", can, ...
                   "conditional", isfield (adapter, "unsupported"), "spoils", false, "shared", false);
end

% A field, or what is there instead.
function value = of (all, name, absent)
  value = absent;
  if isfield (all, name)
    value = all.(name);
  end
end

function [reads, gives] = call (adapter, op)
  calls = struct ("forward", {{"x w b", "y"}}, "backward", {{"x w b delta", "dx dw db"}}, ...
                  "transposed", {{"x w b", "y"}}, "transposed_backward", {{"x w b delta", "dx dw db"}}, ...
                  "double_backward", {{"x w b delta u v r", "dx dw ddelta"}}, "forward_mode", {{"x w b u v r", "dy"}});
  if ! (isfield (calls, op) && isfield (adapter, op))
    error ("conformance:unsupported", "%s has no operation %s", adapter.name, op);
  end
  [reads, gives] = deal (strsplit (calls.(op){1}), strsplit (calls.(op){2}));
end

% The columns that jsondecode makes of lists as rows.
function g = geometry (request)
  g = structfun (@(v) merge (iscolumn (v), v', v), request.geometry, "UniformOutput", false);
end

% ---- tensors: safetensors, in C order ----
function tensors = unpacked (blob)
  tensors = struct ();
  if isempty (blob)
    return
  end
  start = 8 + double (typecast (blob(1:8), "uint64"));
  header = jsondecode (char (blob(9:start)'));
  for [entry, name] = header
    bits = blob(start + entry.data_offsets(1) + 1 : start + entry.data_offsets(2));
    numbers = typecast (bits, struct ("F64", "double", "F32", "single").(entry.dtype));
    tensors.(name) = turned (reshape (numbers, [fliplr(entry.shape(:)'), 1, 1]), numel (entry.shape));
  end
end

% An array of so many axes in the other order of memory.
function a = turned (a, axes)
  a = permute (a, [axes:-1:1, axes+1:2]);  % Octave knows no fewer than two axes
end

% The results that are there, with their shapes.  An axis of length 1 at the end is one in the shape.
function tensors = kept (g, names, results)
  tensors = struct ();
  for k = 1:numel (names)
    a = results{k};
    if isempty (a) && g.batch > 0
      continue
    elseif ! (isreal (a) && (isnumeric (a) || islogical (a)))
      error ("%s must be a real array, it is a %s", names{k}, merge (iscomplex (a), "complex array", class (a)));
    end
    axes = numel (g.size) + 2;
    if strcmp (names{k}, "db")
      axes = merge (strcmp (g.bias, "untied"), axes - 1, 1);
    end
    shape = [size(a), ones(1, axes - ndims (a))];
    if axes == 1 && isvector (a)
      shape = numel (a);
    end
    tensors.(names{k}) = struct ("array", a, "shape", shape);
  end
end

function blob = packed (tensors)
  [header, data, place] = deal (struct (), {}, 0);
  for [tensor, name] = tensors
    dtype = regexprep (class (tensor.array), {"double", "single", "^int", "uint", "logical"}, {"F64", "F32", "I", "U", "BOOL"});
    bits = typecast (turned (tensor.array, numel (tensor.shape))(:)', "uint8");
    offsets = place + [0, numel(bits)];
    header.(name) = struct ("dtype", dtype, "shape", {num2cell(tensor.shape)}, "data_offsets", {num2cell(offsets)});
    data{end + 1} = bits;
    place += numel (bits);
  end
  blob = zeros (1, 0, "uint8");
  if place > 0 || ! isempty (data)
    text = uint8 (regexprep (jsonencode (header), '\.0\>', ""));  % jsonencode writes 1000000.0
    text(end + 1 : 8 * ceil (numel (text) / 8)) = uint8 (" ");
    blob = [typecast(uint64 (numel (text)), "uint8"), text, data{:}];
  end
end
