%% The child that crashes: tells the driver when it is up, and fails when it is told to.
-module(storm_victim).
-behaviour(gen_server).
-export([start_link/1, init/1, handle_call/3, handle_cast/2]).

start_link(Driver) -> gen_server:start_link({local, victim}, ?MODULE, Driver, []).

init(Driver) ->
    Driver ! {up, self()},
    {ok, Driver}.

handle_call(_, _, State) -> {reply, ok, State}.

handle_cast(crash, _) -> error(as_told).
