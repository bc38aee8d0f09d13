"""Reading modules of the old format (`lilypad_module.json.tmpl`) into manifests v2. Nothing of a template is ever executed.

The old file is Go template text that becomes JSON once it is rendered. Here the text is parsed (`template`), laid out
once for each branch with every action as one opaque character (`variants`), read as JSON (`loosejson`), and what an
input does in it is seen by comparing the trees (`convert`). An input can so end up in arguments and variables only.
"""
