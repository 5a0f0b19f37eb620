-module(peak_acceptor).
-export([start_link/1, loop/1]).

start_link(Listener) ->
    {ok, proc_lib:spawn_link(?MODULE, loop, [Listener])}.

loop(Listener) ->
    case gen_tcp:accept(Listener) of
        {ok, Socket} ->
            {ok, Connection} = supervisor:start_child(peak_connections, [Socket]),
            %% It fails when the client has gone already, which the connection will notice.
            _ = gen_tcp:controlling_process(Socket, Connection),
            Connection ! {yours, Socket};
        {error, Reason} when Reason =:= emfile; Reason =:= enfile ->
            timer:sleep(100);
        {error, econnaborted} ->
            ok
    end,
    ?MODULE:loop(Listener).
