%% Burns a given time of CPU. A process does not know its own CPU time, since it shares its scheduler's thread with
%% others; so the loop's speed is measured once, at the start, by the CPU time of the whole program.
-module(peak_work).
-export([calibrate/0, burn/1]).

-define(LOOPS, 50000000).

calibrate() ->
    Speeds = [measure() || _ <- lists:seq(1, 5)],
    persistent_term:put(?MODULE, lists:nth(3, lists:sort(Speeds))).

%% Loops a microsecond.
measure() ->
    {Before, _} = statistics(runtime),
    loop(?LOOPS),
    {After, _} = statistics(runtime),
    ?LOOPS / (max(1, After - Before) * 1000).

burn(Microseconds) ->
    loop(round(Microseconds * persistent_term:get(?MODULE))).

loop(0) -> ok;
loop(N) -> loop(N - 1).
