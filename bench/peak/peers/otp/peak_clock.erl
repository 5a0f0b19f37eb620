%% The Date of responses, made once a second.
-module(peak_clock).
-behaviour(gen_server).
-export([start_link/0, date/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

date() ->
    ets:lookup_element(?MODULE, date, 2).

init([]) ->
    ?MODULE = ets:new(?MODULE, [named_table, {read_concurrency, true}]),
    refresh(),
    {ok, _} = timer:send_interval(1000, refresh),
    {ok, none}.

handle_info(refresh, State) ->
    refresh(),
    {noreply, State}.

handle_call(_Request, _From, State) -> {reply, ok, State}.
handle_cast(_Message, State) -> {noreply, State}.

refresh() ->
    {{Year, Month, Day} = Date, {Hour, Minute, Second}} = calendar:universal_time(),
    Name = element(calendar:day_of_the_week(Date), {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}),
    Of = element(Month, {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"}),
    Text = io_lib:format("~s, ~2..0w ~s ~w ~2..0w:~2..0w:~2..0w GMT", [Name, Day, Of, Year, Hour, Minute, Second]),
    ets:insert(?MODULE, {date, iolist_to_binary(Text)}).
