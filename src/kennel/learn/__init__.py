"""The workshop: the only room that knows torch, lightning, timm and hydra.

Importing it loads none of them. It only sees to it that torchvision, whenever it is imported, can
be (torchvision_gate).
"""

from kennel.learn import torchvision_gate

torchvision_gate.stand_by()
