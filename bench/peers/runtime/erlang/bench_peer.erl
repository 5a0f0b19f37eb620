%% The rows of bench/runtime in Erlang: processes and messages. bench/runtime/README.md says what each one measures.
%%
%%   erl +S 1:1 +P 2000000 -noshell -pa DIR -run bench_peer main ROW SECONDS
%%
%% Prints one JSON object. A row that goes wrong ends the program with exit code 1.
-module(bench_peer).
-export([main/1]).
-export([ring_node/1]).

main([Row, Seconds]) ->
    %% A process of its own, with the default options: what is measured must not depend on who started it.
    {_, Monitor} = spawn_monitor(fun() -> run(list_to_atom(Row), to_number(Seconds)) end),
    receive
        {'DOWN', Monitor, process, _, normal} -> halt(0);
        {'DOWN', Monitor, process, _, Why} ->
            io:format(standard_error, "~p~n", [Why]),
            halt(1)
    end.

to_number(Text) ->
    case string:to_float(Text) of
        {error, _} -> list_to_integer(Text);
        {Float, _} -> Float
    end.

run(spawn_park, _) ->
    N = 1000000,
    {Nanoseconds, Bytes, Hibernated} = spawn_park(N),
    print(spawn_park, Nanoseconds / N, N, io_lib:format(",\"bytes\":~.1f,\"bytes_hibernated\":~.1f",
                                                        [Bytes, Hibernated]));
run(Row, Seconds) ->
    {F, Batch} = row(Row),
    repeat(F, Batch, Seconds / 5),
    {Nanoseconds, Operations} = repeat(F, Batch, Seconds),
    print(Row, Nanoseconds / Operations, Operations, "").

print(Row, Ns, Operations, More) ->
    io:format("{\"row\":\"~s\",\"ns\":~.3f,\"operations\":~b,\"workers\":~b,\"version\":\"OTP ~s, ERTS ~s, ~s\"~s}~n",
              [Row, Ns, Operations, erlang:system_info(schedulers_online), erlang:system_info(otp_release),
               erlang:system_info(version), erlang:system_info(emu_flavor), More]).

repeat(F, Batch, Seconds) ->
    Begin = erlang:monotonic_time(nanosecond),
    repeat(F, Batch, Begin, Begin + round(Seconds * 1.0e9), 0).

repeat(F, Batch, Begin, End, Operations) ->
    case erlang:monotonic_time(nanosecond) of
        Now when Now < End ->
            F(Batch),
            repeat(F, Batch, Begin, End, Operations + Batch);
        Now -> {Now - Begin, Operations}
    end.

row(spawn_finish) -> {fun spawn_finish/1, 200000};
row(spawn_finish_bulk) -> {fun wave/1, 100000};
row(spawn_reply) -> {fun spawn_reply/1, 200000};
row(ping_pong) -> {fun ping_pong/1, 200000};
row(ring_1000) -> {fun ring_1000/1, 400000};
row(mailbox_fan_in) -> {fun mailbox_fan_in/1, 64 * 1000};
row(call_round_trip) -> {fun call_round_trip/1, 200000};
row(timer_start_cancel) -> {fun timer_start_cancel/1, 200000};
row(yield) -> {fun yield/1, 1000000};
row(skynet_1m) -> {fun skynet_1m/1, 1111111}.

sum_below(N) -> N * (N - 1) div 2.

%% Starts N processes at once; each does nothing but count itself out, the last one tells.
wave(N) ->
    Left = atomics:new(1, []),
    atomics:put(Left, 1, N),
    Me = self(),
    start_wave(N, fun() -> count_out(Left, Me) end),
    receive done -> ok end.

start_wave(0, _) -> ok;
start_wave(N, F) ->
    spawn(F),
    start_wave(N - 1, F).

count_out(Left, Parent) ->
    case atomics:sub_get(Left, 1, 1) of
        0 -> Parent ! done;
        _ -> ok
    end.

spawn_finish(0) -> ok;
spawn_finish(N) ->
    wave(1000),
    spawn_finish(N - 1000).

spawn_reply(N) ->
    Sum = sum_below(N),
    Sum = spawn_reply(0, N, self(), 0).

spawn_reply(N, N, _, Sum) -> Sum;
spawn_reply(I, N, Me, Sum) ->
    spawn(fun() -> Me ! I end),
    receive V -> spawn_reply(I + 1, N, Me, Sum + V) end.

ping_pong(N) ->
    Me = self(),
    Other = spawn(fun() -> pong(N, Me) end),
    N = ping(N, Other, 0).

ping(0, _, V) -> V;
ping(I, Other, V) ->
    Other ! V,
    receive W -> ping(I - 1, Other, W) end.

pong(0, _) -> ok;
pong(I, Other) ->
    receive V -> Other ! V + 1 end,
    pong(I - 1, Other).

ring_1000(Hops) ->
    First = start_ring(999, self()),
    Hops = around(First, 0, Hops),
    First ! -1,
    receive -1 -> ok end.

start_ring(0, Next) -> Next;
start_ring(I, Next) -> start_ring(I - 1, spawn(?MODULE, ring_node, [Next])).

ring_node(Next) ->
    receive
        V when V >= 0 ->
            Next ! V + 1,
            ring_node(Next);
        V -> Next ! V
    end.

around(_, Hops, Hops) -> Hops;
around(First, V, Hops) ->
    First ! V + 1,
    receive W -> around(First, W, Hops) end.

mailbox_fan_in(N) ->
    Me = self(),
    %% A process whose messages stay outside of its heap: what OTP recommends for one that gets very many.
    Options = [link, {message_queue_data, off_heap}],
    spawn_opt(fun() ->
                      Receiver = self(),
                      [spawn(fun() -> send_from(S * 1000, S * 1000 + 1000, Receiver) end)
                       || S <- lists:seq(0, 63)],
                      Me ! {sum, take(N, 0)}
              end, Options),
    Sum = sum_below(N),
    receive {sum, Sum} -> ok end.

send_from(End, End, _) -> ok;
send_from(I, End, Receiver) ->
    Receiver ! I,
    send_from(I + 1, End, Receiver).

take(0, Sum) -> Sum;
take(N, Sum) ->
    receive V -> take(N - 1, Sum + V) end.

call_round_trip(N) ->
    {ok, Server} = adder:start(),
    N = call(N, Server, 0),
    ok = gen_server:stop(Server).

call(0, _, Total) -> Total;
call(I, Server, _) -> call(I - 1, Server, gen_server:call(Server, {add, 1})).

timer_start_cancel(N) ->
    N = start_and_cancel(N, self(), 0),
    receive tick -> error(fired) after 0 -> ok end.

start_and_cancel(0, _, Cancelled) -> Cancelled;
start_and_cancel(I, Me, Cancelled) ->
    Timer = erlang:send_after(3600000, Me, tick),
    case erlang:cancel_timer(Timer) of
        Left when is_integer(Left) -> start_and_cancel(I - 1, Me, Cancelled + 1);
        false -> Cancelled
    end.

yield(N) ->
    Me = self(),
    Half = N div 2,
    [spawn(fun() -> Me ! yield(Half, 0) end) || _ <- [1, 2]],
    receive Half -> ok end,
    receive Half -> ok end.

yield(0, Count) -> Count;
yield(N, Count) ->
    erlang:yield(),
    yield(N - 1, Count + 1).

skynet_1m(1111111) ->
    Me = self(),
    spawn(fun() -> skynet(Me, 0, 1000000) end),
    Sum = sum_below(1000000),
    receive Sum -> ok end.

skynet(Parent, Number, 1) -> Parent ! Number;
skynet(Parent, Number, Leaves) ->
    Me = self(),
    Each = Leaves div 10,
    [spawn(fun() -> skynet(Me, Number + I * Each, Each) end) || I <- [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]],
    Parent ! take(10, 0).

%% Starts N processes that wait in a receive; the time, the resident bytes of each, and those of each that hibernates.
spawn_park(N) ->
    Left = atomics:new(1, []),
    Me = self(),
    Before = resident_bytes(),
    atomics:put(Left, 1, N),
    Begin = erlang:monotonic_time(nanosecond),
    Parked = start_parked(N, fun() -> park(Left, Me) end, []),
    receive done -> ok end,
    Took = erlang:monotonic_time(nanosecond) - Begin,
    Bytes = (resident_bytes() - Before) / N,
    wake(Parked, N, Left),
    {Took, Bytes, hibernated_bytes(100000)}.

start_parked(0, _, Parked) -> Parked;
start_parked(N, F, Parked) -> start_parked(N - 1, F, [spawn(F) | Parked]).

park(Left, Parent) ->
    count_out(Left, Parent),
    receive stop -> count_out(Left, Parent) end.

wake(Parked, N, Left) ->
    atomics:put(Left, 1, N),
    [P ! stop || P <- Parked],
    receive done -> ok end.

%% By the BEAM's own account: what a million parked processes used is free for these, so the resident memory tells nothing.
hibernated_bytes(N) ->
    Sleepers = [spawn(fun() -> erlang:hibernate(erlang, exit, [normal]) end) || _ <- lists:seq(1, N)],
    timer:sleep(1000),
    Sizes = [element(2, erlang:process_info(P, memory)) || P <- Sleepers],
    [P ! stop || P <- Sleepers],
    lists:sum(Sizes) / N.

resident_bytes() ->
    {ok, Text} = file:read_file("/proc/self/statm"),
    [_, Pages | _] = binary:split(Text, <<" ">>, [global]),
    binary_to_integer(Pages) * 4096.

