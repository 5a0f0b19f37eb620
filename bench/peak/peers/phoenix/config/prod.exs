import Config

# As `mix phx.new` sets it would be :info; at that level there is a line for each request, which no other stack here writes.
config :logger, level: :warning
