defmodule Peak.Order do
  @moduledoc "An order, as a client sends it and gets it back."

  defmodule Customer do
    @derive Jason.Encoder
    defstruct [:name, :email, :street, :city, :country]
  end

  defmodule Line do
    @derive Jason.Encoder
    defstruct [:sku, :title, :quantity, :cents]
  end

  @derive Jason.Encoder
  defstruct [:id, :customer, :lines, :notes, :express]

  def bind(%{"id" => id, "customer" => customer, "lines" => lines, "notes" => notes, "express" => express})
      when is_binary(id) and is_list(lines) and is_binary(notes) and is_boolean(express) do
    with {:ok, customer} <- bind_customer(customer), {:ok, lines} <- bind_lines(lines, []) do
      {:ok, %__MODULE__{id: id, customer: customer, lines: lines, notes: notes, express: express}}
    end
  end

  def bind(_), do: :error

  defp bind_customer(%{"name" => name, "email" => email, "street" => street, "city" => city, "country" => country})
       when is_binary(name) and is_binary(email) and is_binary(street) and is_binary(city) and is_binary(country) do
    {:ok, %Customer{name: name, email: email, street: street, city: city, country: country}}
  end

  defp bind_customer(_), do: :error

  defp bind_lines([], bound), do: {:ok, Enum.reverse(bound)}

  defp bind_lines([%{"sku" => sku, "title" => title, "quantity" => quantity, "cents" => cents} | rest], bound)
       when is_binary(sku) and is_binary(title) and is_integer(quantity) and is_integer(cents) do
    bind_lines(rest, [%Line{sku: sku, title: title, quantity: quantity, cents: cents} | bound])
  end

  defp bind_lines(_, _), do: :error
end
