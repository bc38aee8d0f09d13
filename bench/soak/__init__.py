"""Half an hour of a whole network under random jobs, cheats and faults: `python -m bench.soak --minutes 30` (make soak).

`jobs`: creators and what they do with their jobs. `faults`: what happens to the agents. `watch`: what has to hold in every
block. `memory`: whether agents grow. `network`: the processes. `report`: what all of it found.
"""
