import Config

config :peak, Peak.Endpoint,
  adapter: Bandit.PhoenixAdapter,
  render_errors: [formats: [json: Peak.ErrorJSON], layout: false]

config :phoenix, :json_library, Jason

if config_env() == :prod, do: import_config("prod.exs")
