-module(peak_sup).
-behaviour(supervisor).
-export([start_link/1, init/1]).

-define(ACCEPTORS, 10).

start_link(Listener) ->
    supervisor:start_link({local, ?MODULE}, ?MODULE, {top, Listener}).

init({top, Listener}) ->
    Flags = #{strategy => one_for_one, intensity => peak_app:number("MAX_RESTARTS", 3), period => 5},
    Workers = [#{id => Id, start => {Id, start_link, []}} || Id <- [peak_clock, peak_limiter, peak_pool]],
    Supervisors = [#{id => peak_connections, type => supervisor,
                     start => {supervisor, start_link, [{local, peak_connections}, ?MODULE, connections]}},
                   #{id => peak_acceptors, type => supervisor,
                     start => {supervisor, start_link, [{local, peak_acceptors}, ?MODULE, {acceptors, Listener}]}}],
    {ok, {Flags, Workers ++ Supervisors}};
init(connections) ->
    {ok, {#{strategy => simple_one_for_one},
          [#{id => connection, start => {peak_connection, start_link, []}, restart => temporary}]}};
init({acceptors, Listener}) ->
    {ok, {#{strategy => one_for_one},
          [#{id => N, start => {peak_acceptor, start_link, [Listener]}} || N <- lists:seq(1, ?ACCEPTORS)]}}.
