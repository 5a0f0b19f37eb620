defmodule Peak.Connection do
  @moduledoc "What one of 8 database connections would be: a place in a pool."
  @behaviour NimblePool

  @impl true
  def init_worker(pool_state), do: {:ok, nil, pool_state}

  @impl true
  def handle_checkout(:checkout, _from, nil, pool_state), do: {:ok, nil, nil, pool_state}

  @impl true
  def handle_checkin(nil, _from, nil, pool_state), do: {:ok, nil, pool_state}
end
