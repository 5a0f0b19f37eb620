%% The child that serves while its sibling crashes.
-module(storm_neighbour).
-behaviour(gen_server).
-export([start_link/0, init/1, handle_call/3, handle_cast/2]).

start_link() -> gen_server:start_link({local, neighbour}, ?MODULE, 0, []).

init(Calls) -> {ok, Calls}.

handle_call(get, _, Calls) -> {reply, Calls + 1, Calls + 1}.

handle_cast(_, Calls) -> {noreply, Calls}.
