%% bench/otp/crash_storm.cpp in Erlang: the same tree, the same rounds, the same figures.
%%
%%   erl +S 1:1 -noshell -pa DIR -run crash_storm main WORKERS CRASHES
-module(crash_storm).
-behaviour(supervisor).
-export([main/1, init/1]).

main([Workers, Crashes]) ->
    logger:set_primary_config(level, none),
    N = list_to_integer(Crashes),
    {_, Monitor} = spawn_monitor(fun() -> run(list_to_integer(Workers), N) end),
    receive
        {'DOWN', Monitor, process, _, normal} -> halt(0);
        {'DOWN', Monitor, process, _, Why} ->
            io:format(standard_error, "~p~n", [Why]),
            halt(1)
    end.

run(Workers, N) ->
    process_flag(trap_exit, true),
    Kill = restarts(kill, 1, N),
    Raise = restarts(raise, 1, N),
    %% All restarts within the period: the supervisor keeps a list of them, so a thousand tell enough.
    Sustained = min(N, 20000),
    KillSustained = restarts(kill, 3600, Sustained),
    RaiseSustained = restarts(raise, 3600, Sustained),
    {Ns, Quiet, Stormy} = storm(Sustained),
    io:format("{\"workers\": ~b, \"crashes\": ~b, \"sustained_crashes\": ~b, \"version\": \"OTP ~s, ERTS ~s, ~s\",~n"
              " \"kill_ns\": ~b, \"raise_ns\": ~b, \"kill_sustained_ns\": ~b, \"raise_sustained_ns\": ~b,~n"
              " \"storm_ns_a_crash\": ~b, \"calls_quiet\": ~b, \"calls_in_storm\": ~b,~n"
              " \"quiet_p50_us\": ~.1f, \"quiet_p99_us\": ~.1f, \"storm_p50_us\": ~.1f, \"storm_p99_us\": ~.1f}~n",
              [Workers, N, Sustained, erlang:system_info(otp_release), erlang:system_info(version),
               erlang:system_info(emu_flavor), Kill, Raise, KillSustained, RaiseSustained, Ns,
               length(Quiet), length(Stormy), quantile(Quiet, 0.5), quantile(Quiet, 0.99),
               quantile(Stormy, 0.5), quantile(Stormy, 0.99)]).

init({Driver, Period}) ->
    {ok, {#{strategy => one_for_one, intensity => 1000000000, period => Period},
          [#{id => neighbour, start => {storm_neighbour, start_link, []}},
           #{id => victim, start => {storm_victim, start_link, [Driver]}}]}}.

start_tree(Period) ->
    {ok, Top} = supervisor:start_link(?MODULE, {self(), Period}),
    Top.

stop(Top) ->
    exit(Top, shutdown),
    receive {'EXIT', Top, _} -> ok end,
    receive {up, _} -> ok after 0 -> ok end.

%% With a period of a second at least (OTP's unit), "few restarts" is a fresh tree for each thousand.
restarts(How, 1, N) ->
    Each = 1000,
    Rounds = N div Each,
    Total = lists:sum([begin
                           Top = start_tree(1),
                           Ns = rounds(How, Each),
                           stop(Top),
                           Ns
                       end || _ <- lists:seq(1, Rounds)]),
    Total div (Rounds * Each);
restarts(How, Period, N) ->
    Top = start_tree(Period),
    Ns = rounds(How, N),
    stop(Top),
    Ns div N.

rounds(How, N) ->
    P = receive {up, First} -> First end,
    Begin = erlang:monotonic_time(nanosecond),
    Last = round_trip(How, P, N),
    End = erlang:monotonic_time(nanosecond),
    self() ! {up, Last},
    End - Begin.

round_trip(_, P, 0) -> P;
round_trip(How, P, N) ->
    case How of
        kill -> exit(P, kill);
        raise -> gen_server:cast(P, crash);
        both when N rem 2 =:= 0 -> exit(P, kill);
        both -> gen_server:cast(P, crash)
    end,
    receive {up, Next} -> round_trip(How, Next, N - 1) end.

storm(N) ->
    Top = start_tree(3600),
    Quiet = beside(fun() -> timer:sleep(1000), 0 end),
    Me = self(),
    Stormy = beside(fun() -> Me ! {took, rounds(both, N) div N}, 0 end),
    Ns = receive {took, T} -> T end,
    stop(Top),
    {Ns, Quiet, Stormy}.

%% The sorted latencies, in microseconds, of calls to the neighbour every millisecond (the shortest sleep there is) while
%% F runs.
beside(F) ->
    Me = self(),
    {Caller, Monitor} = spawn_monitor(fun() -> call_on(Me, []) end),
    F(),
    Caller ! stop,
    Us = receive {latencies, Seen} -> Seen end,
    receive {'DOWN', Monitor, process, _, normal} -> ok end,
    Us.

call_on(Tell, Us) ->
    receive
        stop -> Tell ! {latencies, lists:sort(Us)}
    after 1 ->
        Begin = erlang:monotonic_time(nanosecond),
        _ = gen_server:call(neighbour, get),
        End = erlang:monotonic_time(nanosecond),
        call_on(Tell, [(End - Begin) / 1000 | Us])
    end.

quantile(Sorted, Q) ->
    lists:nth(min(length(Sorted), 1 + trunc(Q * length(Sorted))), Sorted).
