"""``maskcorrect app``: a page in the browser that corrects one photo at a time.

`server` listens, `page` is the form, `job` runs one correction in the background; `corrections` does the work and
`markup` says what came out. Only `server` and `page` know gradio, and they import it when they run.
"""
