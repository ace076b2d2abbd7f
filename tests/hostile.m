% An adapter in Octave whose forward does what its argument says: `octave-cli hostile.m MODE`.  y is x, of one channel and
% kernels of 1.  It lies beside conformance_serve.m when it is started.

1;  % a script

function y = forward (g, x, w, b)
  y = x;
  switch argv (){end}
    case "prints"
      printf ("a line\n");
      puts ("and more\n");
      x
      system ("echo a child");
      fprintf (stdout, "flushed\n");
      fflush (stdout);
    case "raises"
      nothing_of_this_name (x);
    case "raises_its_own"
      error ("hostile:refused", "not with %d items", g.batch);
    case "declines"
      error ("conformance:unsupported", "not today");
    case "returns_integers"
      y = int32 (x);
    case "returns_truth"
      y = x > 0;
    case "returns_complex"
      y = x + 1i;
    case "returns_a_text"
      y = "x";
    case "returns_another_shape"
      y = x';
    case "returns_nothing"
      y = [];
  end
end

function [dx, dw, db] = backward (g, x, w, b, delta)
  [dx, dw, db] = deal (delta, w, b);
end

% Each route claims a dtype.
function adapter = routed (route)
  adapter.name = "hostile";
  adapter.routes = struct ("double", "the first", "single", "the second");
  adapter.capabilities.ranks = [1, 2, 3];
  adapter.capabilities.dtypes = {"float64"};
  if strcmp (route, "single")
    adapter.capabilities.dtypes = "float32";
  end
  adapter.unsupported = @(g, dtype) ifelse (g.batch > 5, "at most 5 items", "");
  adapter.forward = @forward;
  adapter.backward = @backward;
end

function value = ifelse (condition, yes, no)
  value = {no, yes}{condition + 1};
end

conformance_serve (@routed);
