"""What every Space and the router share: facts, contract, panels and the runtime."""
