%% The server of call_round_trip.
-module(adder).
-behaviour(gen_server).
-export([start/0]).
-export([init/1, handle_call/3, handle_cast/2]).

start() -> gen_server:start(?MODULE, [], []).

init([]) -> {ok, 0}.

handle_call({add, By}, _From, Total) -> {reply, Total + By, Total + By}.

handle_cast(_, Total) -> {noreply, Total}.
