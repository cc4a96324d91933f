"""`broker top` in a pipe: the head in lines, and one table."""

from broker.program import screen
from broker.top import words
from broker.top.columns import COLUMNS
from broker.top.view import TopView


def show(view: TopView) -> None:
    """Print one look; a column in which nothing stands is left out."""
    for line in words.lines(view):
        screen.show_line(line)
    rows = [[column.cell(actor) for column in COLUMNS] for actor in view.actors]
    kept = [index for index in range(len(COLUMNS)) if any(row[index] for row in rows)]
    screen.show_table(
        f"Actors of {view.head.run}",
        [screen.Column(COLUMNS[index].title, right=COLUMNS[index].is_number) for index in kept],
        [[row[index] for index in kept] for row in rows],
    )
    if unlisted := words.unlisted(view):
        screen.show_line(unlisted)
