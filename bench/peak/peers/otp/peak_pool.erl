%% What 8 database connections would be: who finds none free waits in line, 5 seconds at most (a call's default).
-module(peak_pool).
-behaviour(gen_server).
-export([start_link/0, with/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

-record(state, {free = 8, holders = #{}, waiting = queue:new()}).

start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

with(Work) ->
    Permit = gen_server:call(?MODULE, acquire),
    try Work() after gen_server:cast(?MODULE, {release, Permit}) end.

init([]) ->
    {ok, #state{}}.

handle_call(acquire, {Pid, _} = From, State) ->
    {noreply, serve(State#state{waiting = queue:in({From, monitor(process, Pid)}, State#state.waiting)})}.

handle_cast({release, Permit}, State) ->
    {noreply, given_back(Permit, State)}.

handle_info({'DOWN', Ref, process, _, _}, #state{holders = Holders, waiting = Waiting} = State) ->
    case Holders of
        #{Ref := _} -> {noreply, given_back(Ref, State)};
        #{} -> {noreply, State#state{waiting = queue:filter(fun({_, Other}) -> Other =/= Ref end, Waiting)}}
    end.

given_back(Permit, #state{free = Free, holders = Holders} = State) ->
    case maps:take(Permit, Holders) of
        {_, Left} ->
            demonitor(Permit, [flush]),
            serve(State#state{free = Free + 1, holders = Left});
        error ->
            State
    end.

serve(#state{free = 0} = State) ->
    State;
serve(#state{free = Free, holders = Holders, waiting = Waiting} = State) ->
    case queue:out(Waiting) of
        {{value, {From, Ref}}, Rest} ->
            gen_server:reply(From, Ref),
            serve(State#state{free = Free - 1, holders = Holders#{Ref => holder}, waiting = Rest});
        {empty, _} ->
            State
    end.
