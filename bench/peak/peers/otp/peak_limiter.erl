%% Counts requests by address in a window of time.
-module(peak_limiter).
-behaviour(gen_server).
-export([start_link/0, acquire/1, kill/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

-record(state, {limit, window, window_end, counts = #{}}).

start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

acquire(Address) ->
    gen_server:call(?MODULE, {acquire, Address}).

kill() ->
    case whereis(?MODULE) of
        undefined -> ok;
        Pid -> exit(Pid, kill)
    end.

init([]) ->
    Window = peak_app:number("WINDOW_MS", 60000),
    {ok, _} = timer:send_interval(Window, reset),
    {ok, #state{limit = peak_app:number("LIMIT", 100), window = Window, window_end = now_ms() + Window}}.

handle_call({acquire, Address}, _From, #state{limit = Limit, counts = Counts} = State) ->
    Before = maps:get(Address, Counts, 0),
    Allowed = Before < Limit,
    Count = if Allowed -> Before + 1; true -> Before end,
    {reply, {Allowed, Limit, Limit - Count, State#state.window_end - now_ms()},
     State#state{counts = Counts#{Address => Count}}}.

handle_info(reset, #state{window = Window} = State) ->
    {noreply, State#state{counts = #{}, window_end = now_ms() + Window}}.

handle_cast(_Message, State) -> {noreply, State}.

now_ms() ->
    erlang:monotonic_time(millisecond).
