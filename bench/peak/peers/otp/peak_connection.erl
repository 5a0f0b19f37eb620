%% One connection's process.
-module(peak_connection).
-export([start_link/1, init/1]).

-define(IDLE_TIMEOUT, 60000).
-define(READ_TIMEOUT, 10000).
-define(LARGEST_BODY, 1048576).

start_link(Socket) ->
    {ok, proc_lib:spawn_link(?MODULE, init, [Socket])}.

init(Socket) ->
    receive
        {yours, Socket} -> ok
    after 5000 ->
        exit(normal)
    end,
    case inet:peername(Socket) of
        {ok, {Address, _Port}} ->
            serve(Socket, <<>>, list_to_binary(inet:ntoa(Address)));
        {error, _} ->
            ok
    end.

serve(Socket, Buffer, Client) ->
    case read_request(Socket, Buffer) of
        {ok, Request, Rest} ->
            case answer(Socket, Request#{client => Client}) of
                keep_alive -> serve(Socket, Rest, Client);
                close -> gen_tcp:close(Socket)
            end;
        bad_request ->
            _ = gen_tcp:send(Socket, response({400, <<"text/plain">>, <<"bad request">>}, close)),
            gen_tcp:close(Socket);
        closed ->
            gen_tcp:close(Socket)
    end.

answer(Socket, #{keep := Keep} = Request) ->
    try peak_routes:handle(Request) of
        Answer ->
            case gen_tcp:send(Socket, response(Answer, Keep)) of
                ok -> Keep;
                {error, _} -> close
            end
    catch
        Class:Reason:Stack ->
            _ = gen_tcp:send(Socket, response({500, <<"text/plain">>, <<"internal server error">>}, close)),
            gen_tcp:close(Socket),
            erlang:raise(Class, Reason, Stack)
    end.

response({Status, Type, Body}, Keep) ->
    response({Status, Type, Body, []}, Keep);
response({Status, Type, Body, Fields}, Keep) ->
    [<<"HTTP/1.1 ">>, status(Status), <<"\r\ncontent-type: ">>, Type, <<"\r\ndate: ">>, peak_clock:date(),
     <<"\r\ncontent-length: ">>, integer_to_binary(iolist_size(Body)), <<"\r\n">>,
     [[Name, <<": ">>, Value, <<"\r\n">>] || {Name, Value} <- Fields],
     case Keep of close -> <<"connection: close\r\n\r\n">>; keep_alive -> <<"\r\n">> end,
     Body].

status(200) -> <<"200 OK">>;
status(204) -> <<"204 No Content">>;
status(400) -> <<"400 Bad Request">>;
status(404) -> <<"404 Not Found">>;
status(422) -> <<"422 Unprocessable Content">>;
status(429) -> <<"429 Too Many Requests">>;
status(500) -> <<"500 Internal Server Error">>.

read_request(Socket, Buffer) ->
    case erlang:decode_packet(http_bin, Buffer, []) of
        {ok, {http_request, Method, {abs_path, Target}, Version}, Rest} ->
            Keep = case Version of {1, 1} -> keep_alive; _ -> close end,
            read_fields(Socket, Rest, #{method => Method, target => Target, keep => Keep}, 0);
        {ok, _, _} ->
            bad_request;
        {more, _} ->
            %% Between requests a client may take its time, within one it may not.
            Timeout = case Buffer of <<>> -> ?IDLE_TIMEOUT; _ -> ?READ_TIMEOUT end,
            more(Socket, Buffer, Timeout, fun(B) -> read_request(Socket, B) end);
        {error, _} ->
            bad_request
    end.

read_fields(Socket, Buffer, Request, Length) ->
    case erlang:decode_packet(httph_bin, Buffer, []) of
        {ok, {http_header, _, 'Content-Length', _, Value}, Rest} ->
            case string:to_integer(Value) of
                {N, <<>>} when N >= 0, N =< ?LARGEST_BODY -> read_fields(Socket, Rest, Request, N);
                _ -> bad_request
            end;
        {ok, {http_header, _, 'Connection', _, Value}, Rest} ->
            case string:lowercase(Value) of
                <<"close">> -> read_fields(Socket, Rest, Request#{keep := close}, Length);
                _ -> read_fields(Socket, Rest, Request, Length)
            end;
        {ok, {http_header, _, _, _, _}, Rest} ->
            read_fields(Socket, Rest, Request, Length);
        {ok, http_eoh, Rest} ->
            read_body(Socket, Rest, Request, Length);
        {more, _} ->
            more(Socket, Buffer, ?READ_TIMEOUT, fun(B) -> read_fields(Socket, B, Request, Length) end);
        _ ->
            bad_request
    end.

read_body(Socket, Buffer, Request, Length) ->
    case Buffer of
        <<Body:Length/binary, Rest/binary>> ->
            {ok, Request#{body => Body}, Rest};
        _ ->
            case gen_tcp:recv(Socket, Length - byte_size(Buffer), ?READ_TIMEOUT) of
                {ok, Missing} -> {ok, Request#{body => <<Buffer/binary, Missing/binary>>}, <<>>};
                {error, _} -> closed
            end
    end.

more(Socket, Buffer, Timeout, Continue) ->
    case gen_tcp:recv(Socket, 0, Timeout) of
        {ok, Data} when Buffer =:= <<>> -> Continue(Data);
        {ok, Data} -> Continue(<<Buffer/binary, Data/binary>>);
        {error, _} -> closed
    end.
