defmodule Peak.Endpoint do
  use Phoenix.Endpoint, otp_app: :peak

  plug Plug.Parsers, parsers: [:json], pass: ["*/*"], json_decoder: Phoenix.json_library()
  plug Peak.Router
end
