defmodule Peak.Application do
  @moduledoc false
  use Application

  @impl true
  def start(_type, _args) do
    Peak.Work.calibrate()

    children = [
      Peak.Limiter,
      {NimblePool, worker: {Peak.Connection, nil}, pool_size: 8, name: Peak.Pool},
      Peak.Endpoint
    ]

    max_restarts = Application.fetch_env!(:peak, :max_restarts)
    Supervisor.start_link(children, strategy: :one_for_one, max_restarts: max_restarts, name: Peak.Supervisor)
  end
end
