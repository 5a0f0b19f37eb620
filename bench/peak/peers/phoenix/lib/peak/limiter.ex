defmodule Peak.Limiter do
  @moduledoc "Counts requests by address in a window of time."
  use GenServer

  def start_link(_), do: GenServer.start_link(__MODULE__, nil, name: __MODULE__)

  def acquire(address), do: GenServer.call(__MODULE__, {:acquire, address})

  def kill do
    pid = Process.whereis(__MODULE__)
    if pid, do: Process.exit(pid, :kill)
  end

  @impl true
  def init(_) do
    window = Application.fetch_env!(:peak, :window_ms)
    {:ok, _} = :timer.send_interval(window, :reset)
    {:ok, %{limit: Application.fetch_env!(:peak, :limit), window: window, window_end: now() + window, counts: %{}}}
  end

  @impl true
  def handle_call({:acquire, address}, _from, state) do
    before = Map.get(state.counts, address, 0)
    allowed = before < state.limit
    count = if allowed, do: before + 1, else: before
    state = put_in(state.counts[address], count)
    {:reply, {allowed, state.limit, state.limit - count, state.window_end - now()}, state}
  end

  @impl true
  def handle_info(:reset, state), do: {:noreply, %{state | counts: %{}, window_end: now() + state.window}}

  defp now, do: System.monotonic_time(:millisecond)
end
