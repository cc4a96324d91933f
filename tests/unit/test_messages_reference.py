import importlib

import msgspec
import pytest

from docs.generate_messages import MODULES, NO_MESSAGES, OUTPUT, reference


def test_the_page_is_up_to_date() -> None:
    assert OUTPUT.read_text(encoding="utf-8") == reference(), (
        "run `python docs/generate_messages.py`"
    )


@pytest.mark.parametrize("name", MODULES)
def test_every_message_and_field_is_on_it(name: str) -> None:
    module = importlib.import_module(f"schemas.{name}")
    structs = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, msgspec.Struct)
        and value.__module__ == module.__name__
        and not value.__name__.startswith("_")
        and value.__name__ not in NO_MESSAGES
    ]
    page = reference()
    for struct in structs:
        section = page.partition(f"### {struct.__name__}\n")[2].partition("\n#")[0]
        assert [
            line.split(" | ")[0].removeprefix("| ")
            for line in section.splitlines()
            if line.startswith("| ")
        ][1:] == list(struct.__struct_fields__)
