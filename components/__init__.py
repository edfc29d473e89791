"""A drawer of page parts: plain arrays and tables in, plain values out. They know nothing of cells.

Import each part from its own file; this one imports nothing, so that headless code can share what is pure.

Pure, no Panel:

    theme       CATEGORICAL, category_colors(names, known), value_colors(colormap), tokens_css(dark=)
    coloring    Categories(codes, names, colors, title), Categories.of(labels), Values(values, title, …)
    points      index_points(xy) -> Points (once per point set, shared by all tabs), nearest, inside_polygon
    raster      paint(layers, view, width, height) -> one byte a pixel; warm() at start

Parts, each a Panel viewer that is driven and read by its parameters:

    embedding_map   EmbeddingMap(background=, foreground=, background_coloring=, foreground_coloring=,
                    show_background, show_foreground, show_names, hidden, point_size, dark,
                    describe=f(index, layer) -> text; selected (bool mask), mode, hovered, tapped, view,
                    in_view), .select(mask), .link(map), .destroy()
    legend          Legend(names, colors, counts, title; hidden), .display(Categories)
                    ColorBar(title, limits, colors, zeros_grey, note), .display(Values)
    file_drop       FileDrop(url, headers, accept, max_size, label, hint; state, fraction, file_name, size,
                    response, error, seconds; cancel), .reset()
    job_status      JobStatus(title, state, stage, fraction, left, error; cancel, retry as events)
    notice          Notice(text, title=, kind="info" | "ok" | "warn" | "error")
    selection_panel SelectionPanel(mode; clear as event), .display(mask, Categories)
    cell_table      CellTable(names, counts, median, colors, title; picked), .display(Categories, values, mask)
    ranked_bars     RankedBars(names, scores, title, note, empty; picked)
    small_charts         bars(shares, bounds, told, expected), curves(lines, bounds, told, low, at) -> SVG text
    paged_table     PagedTable(page, page_size, order_by, downwards, search; picked, found), .display(table, columns)
    heat_table      HeatTable(rows, columns, texts, shades, colors; picked), fields shaded by their share
    alluvial        Alluvial(left, right, links, colors; picked), flows between two columns of names
    interval_bars   IntervalBars(cards, top; picked), shares with whiskers, a card a category
    volcano         Volcano(least_x, least_y; picked), .display(names, x, y)
    dot_plot        DotPlot(names, groups, shares, values; picked)
    heat_map        HeatMap(names, groups, shades, tips, title; picked), fields by colour alone
    violins         Violins(names, groups, colors, shapes, medians, tops; picked), outlines(values, codes, n)
    threshold_histogram  ThresholdHistogram(threshold, bounds, step, title, summary), .display(values, tell)
    panel_list      PanelList(items, value, acted), panels of a figure in their order
    get_link        GetLink(label, href, about, primary; state), a link to a file that is made when asked for
    copied_text     CopiedText(text; copied), a paragraph with a button that copies it
    upset           UpSet(names, members, counts, unit, action; picked), which of several agree and how often
    scatter         Scatter(names, x, y, colors, marked, notes, x_title, y_title, legend; picked), named points
    dossier         Dossier(title, sections; picked, closed), rows with bars about one thing
    choice_table    ChoiceTable, a table in which one row is chosen
    steps           Steps, the steps across the top of a page

The wiring of map and legend is one line each way:

    legend.display(coloring); legend.link(emap, hidden="hidden")
"""
