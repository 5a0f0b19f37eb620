%% The peer on OTP alone: the routes of the showcase over gen_tcp, one supervised process a connection, requests decoded by
%% the runtime's own HTTP decoder. The floor of what a framework on the BEAM costs.
%%
%% Usage: PORT=4003 LIMIT=100 erl +S 1:1 -noshell -pa EBIN -s peak_app start
-module(peak_app).
-behaviour(application).
-export([start/0, start/2, stop/1, number/2]).

start() ->
    {ok, _} = application:ensure_all_started(peak, permanent).

start(_Type, _Arguments) ->
    peak_work:calibrate(),
    {ok, Listener} = gen_tcp:listen(number("PORT", 4003),
                                    [binary, {packet, raw}, {active, false}, {reuseaddr, true}, {nodelay, true},
                                     {backlog, 4096}]),
    peak_sup:start_link(Listener).

stop(_State) ->
    ok.

%% What an environment variable says.
number(Variable, Fallback) ->
    case os:getenv(Variable) of
        false -> Fallback;
        Text -> list_to_integer(Text)
    end.
