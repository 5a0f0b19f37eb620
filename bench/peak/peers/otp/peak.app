{application, peak,
 [{description, "The showcase's routes on OTP alone"},
  {vsn, "1"},
  {modules, [peak_app, peak_sup, peak_clock, peak_limiter, peak_pool, peak_work, peak_acceptor, peak_connection,
             peak_routes]},
  {registered, [peak_sup, peak_clock, peak_limiter, peak_pool, peak_connections, peak_acceptors]},
  {applications, [kernel, stdlib, sasl]},
  {mod, {peak_app, []}}]}.
