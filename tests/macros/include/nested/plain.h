nested plain
