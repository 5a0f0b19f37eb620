defmodule Peak.Work do
  @moduledoc """
  Burns a given time of CPU. A process does not know its own CPU time, since it shares its scheduler's thread with others;
  so the loop's speed is measured once, at the start, by the CPU time of the whole program.
  """

  @loops 50_000_000

  def calibrate do
    speeds = for _ <- 1..5, do: measure()
    :persistent_term.put(__MODULE__, speeds |> Enum.sort() |> Enum.at(2))
  end

  def burn(microseconds), do: loop(round(microseconds * :persistent_term.get(__MODULE__)))

  # Loops a microsecond.
  defp measure do
    {before, _} = :erlang.statistics(:runtime)
    loop(@loops)
    {later, _} = :erlang.statistics(:runtime)
    @loops / (max(1, later - before) * 1000)
  end

  defp loop(0), do: :ok
  defp loop(n), do: loop(n - 1)
end
