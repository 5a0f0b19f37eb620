defmodule Peak.Controller do
  use Phoenix.Controller, formats: [:json]
  import Plug.Conn

  def ping(conn, _params), do: json(conn, %{message: "pong"})

  def health(conn, _params), do: json(conn, %{status: "up"})

  def plaintext(conn, _params), do: text(conn, "Hello, World!")

  def user_post(conn, %{"id" => id, "pid" => pid}), do: json(conn, %{id: id, pid: pid})

  def take_order(conn, params) do
    case Peak.Order.bind(params) do
      {:ok, order} -> json(conn, order)
      :error -> conn |> put_status(422) |> json(%{error: "not an order"})
    end
  end

  def work(conn, params) do
    with_number(conn, params, "us", 10_000_000, fn us ->
      Peak.Work.burn(us)
      json(conn, %{us: us})
    end)
  end

  def wait(conn, params) do
    with_number(conn, params, "ms", 60_000, fn ms ->
      Process.sleep(ms)
      json(conn, %{ms: ms})
    end)
  end

  def pool(conn, _params) do
    NimblePool.checkout!(Peak.Pool, :checkout, fn _from, nil -> {Process.sleep(20), nil} end)
    json(conn, %{message: "served"})
  end

  def hog(conn, params) do
    with_number(conn, params, "ms", 60_000, fn ms ->
      how = Map.get(params, "how", "burn")

      case how do
        "burn" -> Peak.Work.burn(ms * 1000)
        # The BEAM has no call that blocks a scheduler, but for native code; what it has is this.
        "block" -> Process.sleep(ms)
      end

      json(conn, Jason.OrderedObject.new(ms: ms, how: how))
    end)
  end

  def panic(_conn, _params), do: raise("the handler panics")

  def limited(conn, _params) do
    address = conn.remote_ip |> :inet.ntoa() |> to_string()
    {allowed, limit, remaining, until_reset} = Peak.Limiter.acquire(address)
    seconds = Integer.to_string(div(max(until_reset, 1) + 999, 1000))

    conn =
      conn
      |> put_resp_header("x-ratelimit-limit", Integer.to_string(limit))
      |> put_resp_header("x-ratelimit-remaining", Integer.to_string(remaining))
      |> put_resp_header("x-ratelimit-reset", seconds)

    if allowed do
      json(conn, %{message: "within the limit"})
    else
      conn |> put_resp_header("retry-after", seconds) |> put_status(429) |> json(%{error: "too many requests"})
    end
  end

  def kill_limiter(conn, _params) do
    Peak.Limiter.kill()
    send_resp(conn, 204, "")
  end

  defp with_number(conn, params, name, most, then) do
    case Integer.parse(Map.get(params, name, "")) do
      {n, ""} when n >= 0 and n <= most -> then.(n)
      _ -> conn |> put_status(400) |> json(%{error: "#{name} must be from 0 to #{most}"})
    end
  end
end
