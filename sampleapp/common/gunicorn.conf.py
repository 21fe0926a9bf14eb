"""How the shop is served: no control socket in the user's home, where several servers would share it."""

control_socket_disable = True
