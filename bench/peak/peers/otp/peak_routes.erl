-module(peak_routes).
-export([handle/1]).

-record(customer, {name, email, street, city, country}).
-record(line, {sku, title, quantity, cents}).
-record(order, {id, customer, lines, notes, express}).

handle(#{method := Method, target := Target} = Request) ->
    {Path, Query} = case binary:split(Target, <<"?">>) of
                        [P, Q] -> {P, Q};
                        [P] -> {P, <<>>}
                    end,
    [<<>> | Segments] = binary:split(Path, <<"/">>, [global]),
    route(Method, Segments, Query, Request).

route('GET', [<<"ping">>], _, _) ->
    json(200, {[{message, <<"pong">>}]});
route('GET', [<<"health">>], _, _) ->
    json(200, {[{status, <<"up">>}]});
route('GET', [<<"plaintext">>], _, _) ->
    {200, <<"text/plain">>, <<"Hello, World!">>};
route('GET', [<<"users">>, Id, <<"posts">>, Pid], _, _) ->
    json(200, {[{id, uri_string:percent_decode(Id)}, {pid, uri_string:percent_decode(Pid)}]});
route('POST', [<<"orders">>], _, #{body := Body}) ->
    try to_order(jiffy:decode(Body, [return_maps])) of
        Order -> json(200, from_order(Order))
    catch
        error:function_clause ->
            json(422, {[{error, <<"not an order">>}]});
        error:{_Position, _What} ->
            json(400, {[{error, <<"not JSON">>}]})
    end;
route('GET', [<<"work">>], Query, _) ->
    asked(<<"us">>, 10000000, Query, fun(Us) ->
        peak_work:burn(Us),
        json(200, {[{us, Us}]})
    end);
route('GET', [<<"wait">>], Query, _) ->
    asked(<<"ms">>, 60000, Query, fun(Ms) ->
        timer:sleep(Ms),
        json(200, {[{ms, Ms}]})
    end);
route('GET', [<<"pool">>], _, _) ->
    peak_pool:with(fun() -> timer:sleep(20) end),
    json(200, {[{message, <<"served">>}]});
route('GET', [<<"hog">>], Query, _) ->
    asked(<<"ms">>, 60000, Query, fun(Ms) ->
        How = parameter(<<"how">>, Query, <<"burn">>),
        case How of
            <<"burn">> -> peak_work:burn(Ms * 1000);
            %% The BEAM has no call that blocks a scheduler, but for native code; what it has is this.
            <<"block">> -> timer:sleep(Ms)
        end,
        json(200, {[{ms, Ms}, {how, How}]})
    end);
route('GET', [<<"panic">>], _, _) ->
    error(the_handler_panics);
route('GET', [<<"limited">>], _, #{client := Client}) ->
    {Allowed, Limit, Remaining, UntilReset} = peak_limiter:acquire(Client),
    Seconds = integer_to_binary((max(UntilReset, 1) + 999) div 1000),
    Fields = [{<<"x-ratelimit-limit">>, integer_to_binary(Limit)},
              {<<"x-ratelimit-remaining">>, integer_to_binary(Remaining)},
              {<<"x-ratelimit-reset">>, Seconds}],
    case Allowed of
        true ->
            json(200, {[{message, <<"within the limit">>}]}, Fields);
        false ->
            json(429, {[{error, <<"too many requests">>}]}, [{<<"retry-after">>, Seconds} | Fields])
    end;
route('POST', [<<"limited">>, <<"kill">>], _, _) ->
    peak_limiter:kill(),
    {204, <<"text/plain">>, <<>>};
route(_, _, _, _) ->
    json(404, {[{error, <<"not found">>}]}).

json(Status, Value) ->
    json(Status, Value, []).

json(Status, Value, Fields) ->
    {Status, <<"application/json; charset=utf-8">>, jiffy:encode(Value), Fields}.

parameter(Name, Query, Fallback) ->
    proplists:get_value(Name, uri_string:dissect_query(Query), Fallback).

asked(Name, Most, Query, Then) ->
    case string:to_integer(parameter(Name, Query, <<>>)) of
        {N, <<>>} when N >= 0, N =< Most -> Then(N);
        _ -> json(400, {[{error, <<Name/binary, " is out of its range">>}]})
    end.

%% Binds JSON to the records, or fails: every field must be there, and of its type.
to_order(#{<<"id">> := Id, <<"customer">> := Customer, <<"lines">> := Lines, <<"notes">> := Notes,
           <<"express">> := Express})
  when is_binary(Id), is_list(Lines), is_binary(Notes), is_boolean(Express) ->
    #order{id = Id, customer = to_customer(Customer), lines = [to_line(Line) || Line <- Lines], notes = Notes,
           express = Express}.

to_customer(#{<<"name">> := Name, <<"email">> := Email, <<"street">> := Street, <<"city">> := City,
              <<"country">> := Country})
  when is_binary(Name), is_binary(Email), is_binary(Street), is_binary(City), is_binary(Country) ->
    #customer{name = Name, email = Email, street = Street, city = City, country = Country}.

to_line(#{<<"sku">> := Sku, <<"title">> := Title, <<"quantity">> := Quantity, <<"cents">> := Cents})
  when is_binary(Sku), is_binary(Title), is_integer(Quantity), is_integer(Cents) ->
    #line{sku = Sku, title = Title, quantity = Quantity, cents = Cents}.

from_order(#order{id = Id, customer = C, lines = Lines, notes = Notes, express = Express}) ->
    {[{id, Id},
      {customer, {[{name, C#customer.name}, {email, C#customer.email}, {street, C#customer.street},
                   {city, C#customer.city}, {country, C#customer.country}]}},
      {lines, [{[{sku, L#line.sku}, {title, L#line.title}, {quantity, L#line.quantity}, {cents, L#line.cents}]}
               || L <- Lines]},
      {notes, Notes},
      {express, Express}]}.
