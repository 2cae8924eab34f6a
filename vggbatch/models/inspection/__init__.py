"""What a network is: its scores, classes and preprocessing, stated, tried or assumed."""
